"""The items of one run that are leased to this node: queued at the runner, finished, held until acknowledged."""

import asyncio
import collections
import contextlib
import itertools
import logging
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.access.rules import current_principal
from agent.audit.lines import ItemEnd
from agent.node import Node
from agent.proto import agent_pb2 as pb
from agent.proto.runner_pb2 import Finished, Kill, RunnerRequest
from agent.runner_client import RunnerUnavailable
from agent.work import returned
from agent.work.item_spawn import SpawnPattern
from agent.work.outbox import Outbox
from agent.work.run_folders import RunFolders, remove

_log = logging.getLogger("gaxx.work")

RUNNER_WITHIN_S = 20.0
"""How long leased items wait for a runner that is being restarted."""
NEVER_STARTED = "never started"


@dataclass(frozen=True)
class _Flight:
    item: pb.Item
    deadline_s: float
    principal: str


class LeasedRun:
    """One run on this node. Lives on without a controller: items finish, results wait."""

    def __init__(self, node: Node, principal: str, hello: pb.WorkRequest.Hello, folder: Path) -> None:
        self.run_id = hello.run_id
        self.wake = asyncio.Event()
        self.generation = 0
        """Counts the streams: only the newest one is served."""
        self._node = node
        self._folders = RunFolders(node.home_of(principal), folder, hello)
        self.outbox = Outbox(hello.run_id, self._folders, folder / "results")
        self._flights: dict[int, _Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: list[_Flight] = []
        self._collecting: list[int] = []
        self._over = False
        self.configure(hello)

    def configure(self, hello: pb.WorkRequest.Hello) -> None:
        """Take a controller's wishes for the items to come."""
        self._hello = hello
        self._folders.configure(hello)
        self._pattern = SpawnPattern(self._node.manifest.node, hello, self._folders)

    @property
    def in_flight(self) -> list[int]:
        """Indexes of the items that run or wait here."""
        waiting = [flight.item.index for flight in self._waiting]
        return [flight.item.index for flight in self._flights.values()] + waiting + list(self._collecting)

    @property
    def count(self) -> int:
        """How many items run or wait here, what is being collected included."""
        return len(self._flights) + len(self._waiting) + len(self._collecting)

    @property
    def busy(self) -> bool:
        """Whether there is more to do here than what runs."""
        return len(self._flights) > self._node.runner.slots

    @property
    def lease_s(self) -> float:
        """How long the controller takes silence for life."""
        return self._hello.lease_s

    # What the controller asks

    def attach(self) -> int:
        """A new stream: everything unacknowledged is sent again. Return the stream's generation."""
        self.generation += 1
        self.outbox.begin_again()
        self.wake.set()
        return self.generation

    def lease(self, items: Sequence[pb.Item], deadline_s: float) -> None:
        """Queue items; what cannot be executed here now comes back as a result that says so."""
        principal = current_principal.get().name
        flights = [_Flight(item, deadline_s, principal) for item in items]
        if self._node.activity.draining:
            self._refuse(flights, "the node is draining")
        else:
            self._submit(flights)

    def cancel(self, request: pb.WorkRequest.Cancel) -> None:
        """Call items off: those named, all, or those that have not started."""
        wanted = set(request.indexes)
        kill_started = request.all or bool(wanted)
        for ident, flight in list(self._flights.items()):
            if not wanted or flight.item.index in wanted:
                # To one that runs, SIGCONT says nothing.
                number = 0 if kill_started else signal.SIGCONT
                kill = Kill(id=ident, signal=number, queued_too=True, ending=pb.CANCELLED)
                self._node.runner.send(RunnerRequest(kill=kill))
        called_off = [flight for flight in self._waiting if not wanted or flight.item.index in wanted]
        self._waiting = [flight for flight in self._waiting if flight not in called_off]
        self._refuse(called_off, "called off")

    def bye(self) -> None:
        """The run is over: call off what is left, remove what lies here for it."""
        self._over = True
        self.cancel(pb.WorkRequest.Cancel(all=True))
        for task in self._tasks:
            task.cancel()
        self.outbox.remove()
        self._folders.remove()

    def close(self) -> None:
        """The agent ends, or nothing of the run is left here: what is held waits on disk, files that were sent stay."""
        self._over = True
        for task in self._tasks:
            task.cancel()
        self.outbox.close()

    # From lease to runner

    def _submit(self, flights: list[_Flight]) -> None:
        try:
            # Filled before anything is sent: an item that cannot be written down fails alone.
            spawns = [self._pattern.fill(flight.item, flight.deadline_s) for flight in flights]
            idents = self._node.runner.batch(spawns, self._finished, slots=self._hello.slots)
        except RunnerUnavailable:
            self._waiting += flights
            self._start(self._await_runner())
        except OSError as fault:
            self._refuse(flights, f"no room for the items: {fault.strerror}")
        else:
            self._flights.update(zip(idents, flights, strict=True))
            self._node.activity.items_began(len(flights))
            for principal, group in itertools.groupby(flights, key=lambda flight: flight.principal):
                self._node.audit.items_started(self.run_id, principal, [flight.item for flight in group])

    async def _await_runner(self) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._node.runner.wait_alive(), RUNNER_WITHIN_S)
        flights, self._waiting = self._waiting, []
        if not flights:
            return
        if self._node.runner.is_alive:
            self._submit(flights)
        else:
            self._refuse(flights, "the node's runner does not start")

    # From runner to controller

    def _finished(self, batch: Sequence[Finished]) -> None:
        results: list[pb.ItemResult] = []
        ends: list[ItemEnd] = []
        for finished in batch:
            flight = self._flights.pop(finished.id, None)
            if flight is None:
                continue
            item = flight.item
            ends.append(ItemEnd(flight.principal, item.index, item.attempt, finished.exit))
            if self._over:
                continue
            result = self._result(item, finished)
            self._node.metrics.executed(finished.exit.ending, finished.exit.wall_s, item=True)
            if self._hello.isolate or self._hello.return_globs or item.return_globs:
                self._collecting.append(item.index)
                self._start(self._collect(item, result))
            else:
                results.append(result)
            self._pattern.clear(item)
        self._node.audit.items_ended(self.run_id, ends)
        self._node.activity.items_ended(len(batch))
        if results:
            self._hold(results)

    def _result(self, item: pb.Item, finished: Finished) -> pb.ItemResult:
        return pb.ItemResult(
            result_id=self.outbox.take_id(),
            index=item.index,
            attempt=item.attempt,
            lease=item.lease,
            exit=finished.exit,
            stdout=finished.stdout,
            stderr=finished.stderr,
            start_unix_s=finished.start_unix_s,
            end_unix_s=finished.end_unix_s,
            output_held=finished.output_held,
        )

    async def _collect(self, item: pb.Item, result: pb.ItemResult) -> None:
        """Take the item's files before anything else can change them, then let its result go."""
        root = self._folders.of_item(item)
        globs = [os.fsencode(glob) for glob in self._hello.return_globs] + list(item.return_globs)
        if globs and result.exit.ending in (pb.EXITED, pb.SIGNALED, pb.DEADLINE):
            held = self._folders.files(result)
            files, errors = await asyncio.to_thread(returned.collect, os.fsencode(root), globs, held)
            result.files.extend(files)
            result.file_errors.extend(errors)
        if self._hello.isolate:
            await asyncio.to_thread(remove, root)
        self._collecting.remove(item.index)
        self._hold([result])

    def _refuse(self, flights: list[_Flight], why: str) -> None:
        now = time.time()
        exit_ = pb.Exit(ending=pb.CANCELLED, error=f"{NEVER_STARTED}: {why}")
        finished = Finished(exit=exit_, start_unix_s=now, end_unix_s=now)
        if flights and not self._over:
            self._hold([self._result(flight.item, finished) for flight in flights])

    def _hold(self, results: list[pb.ItemResult]) -> None:
        self.outbox.add(results)
        self.wake.set()

    def _start(self, work: collections.abc.Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("collecting failed", exc_info=task.exception(), extra={"event": "collect", "run": self.run_id})
