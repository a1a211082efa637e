"""The runner itself: listens for agents, reaps children, ends in order."""

import contextlib
import os
import resource
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.runner.cgroups import Cgroups
from agent.runner.connection import Connection
from agent.runner.environment import environment_of_items
from agent.runner.item import KILL_GRACE_S, Item
from agent.runner.loop import READ, Loop
from agent.runner.spawning import Spawner
from agent.runner.table import Table, sweep

UNUSED_S = 30.0
"""A runner that does not linger gives up after so long without an agent."""


@dataclass(frozen=True)
class RunnerConfig:
    """What a runner is told. `lingers`: whether it stays when its agent has gone and nothing runs."""

    socket: Path
    slots: int
    work_dir: Path
    env_file: Path | None
    lingers: bool
    environ: Mapping[str, str]
    memory_limit_bytes: int = 0
    """Writable memory that one process of an item may have; 0: as much as there is."""
    cgroups: bool = False
    """Whether each item gets a control group of its own, below the runner's."""


class Runner:
    """Serves one listening socket until it is told to stop."""

    def __init__(self, config: RunnerConfig, listener: socket.socket) -> None:
        _raise_file_limit()
        _close_on_exec()
        self._config = config
        self._listener = listener
        # What an earlier runner that was killed has left behind competes with ours.
        sweep(config.socket.parent)
        self._table = Table(config.socket.parent)
        self._loop = Loop()
        environment = environment_of_items(config.environ, config.env_file, config.work_dir)
        cgroups = Cgroups.mine() if config.cgroups else None
        self._spawner = Spawner(environment, os.fsencode(config.work_dir), config.memory_limit_bytes, cgroups)
        self._connections: list[Connection] = []
        self._orphans: dict[int, Item] = {}
        self._stopping = False
        self._was_used = False
        listener.setblocking(False)
        self._loop.reaper = self._reap
        self._loop.turn_ended.append(self._turn_ended)
        self._loop.watch(listener.fileno(), READ, self._accept)
        if not config.lingers:
            self._loop.after(UNUSED_S, self._unused)

    def run(self, on_signals: Mapping[str, int]) -> None:
        """Serve until the signal called `stop`; the one called `reload` reads the environment anew."""
        self._loop.handle_signal(on_signals["stop"], self.stop)
        self._loop.handle_signal(on_signals["interrupt"], self.stop)
        self._loop.handle_signal(on_signals["reload"], self.reload)
        self._loop.run()
        if not self._orphans:
            self._table.close()

    def stop(self) -> None:
        """End all items, detached ones too, then the loop. A second call ends at once."""
        for connection in list(self._connections):
            for item in list(connection.by_pid.values()):
                self._orphans[item.pid] = item
            connection.close()
        if self._stopping:
            for item in self._orphans.values():
                item.kill_now()
        for item in list(self._orphans.values()):
            item.kill()
        self._stopping = True
        self._loop.unwatch(self._listener.fileno())
        self._loop.after(KILL_GRACE_S + 1, self._loop.stop)

    def reload(self) -> None:
        """Read the declared environment anew. Raises nothing: a bad file leaves the old in force."""
        with contextlib.suppress(OSError, ValueError):
            self._spawner.environment = environment_of_items(
                self._config.environ, self._config.env_file, self._config.work_dir
            )

    def _unused(self) -> None:
        # The agent that started us died before it connected.
        self._was_used = True

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        connection = Connection(
            self._loop,
            sock,
            self._spawner,
            table=self._table,
            slots=self._config.slots,
            adopt=self._adopt,
            closed=self._closed,
        )
        self._connections.append(connection)
        self._was_used = True

    def _adopt(self, item: Item) -> None:
        if item.pid:
            self._orphans[item.pid] = item

    def _closed(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)

    def _reap(self, pid: int, status: int, usage: resource.struct_rusage) -> None:
        item = self._orphans.pop(pid, None)
        if item is None:
            for connection in self._connections:
                item = connection.by_pid.get(pid)
                if item is not None:
                    break
        if item is not None:
            item.reaped(status, usage)

    def _turn_ended(self) -> None:
        for connection in list(self._connections):
            connection.turn_ended()
        if self._orphans or self._connections:
            return
        if self._stopping or (not self._config.lingers and self._was_used):
            self._loop.stop()


def _raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _close_on_exec() -> None:
    """Mark every inherited descriptor but the standard three: items get none of ours."""
    for entry in Path("/proc/self/fd").iterdir():
        if int(entry.name) > 2:  # noqa: PLR2004 - the standard three
            with contextlib.suppress(OSError):
                os.set_inheritable(int(entry.name), False)
