"""The agent's end of the socket to the runner: streams, batches, and what becomes of both when the runner dies."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.ending import end
from agent.proto.agent_pb2 import CANCELLED, RUNNER_LOST, Command, Ending, Exit
from agent.proto.runner_pb2 import (
    Batch,
    Began,
    Finished,
    Kill,
    Output,
    RunnerEvent,
    RunnerRequest,
    Spawn,
)
from agent.runner.frames import Decoder, FrameError, encode
from agent.runner_process import RunnerProcess
from agent.runner_stream import Stream

_log = logging.getLogger("gaxx.runner")

_BACK_OFF_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_STARTED_WITHIN_S = 15.0

FinishedCallback = Callable[[Sequence[Finished]], None]


class RunnerUnavailable(Exception):  # noqa: N818 - reads as what is wrong
    """There is no runner just now; it is being started again."""


@dataclass
class _Collected:
    callback: FinishedCallback
    began_s: float


class RunnerConnection:
    """Keeps one connection to a runner, starting or reconnecting it as needed.

    Without `socket` it starts a runner of its own and replaces it when it dies. Everything in flight
    when the connection breaks ends as RUNNER_LOST, exactly once.
    """

    def __init__(
        self, *, socket: Path | None, run_dir: Path, work_dir: Path, slots: int, env: Mapping[str, str]
    ) -> None:
        self.slots = slots
        self.restarts = 0
        self._socket = socket
        self._process = None if socket else RunnerProcess(run_dir=run_dir, work_dir=work_dir, slots=slots, env=env)
        self._streams: dict[int, Stream] = {}
        self._collected: dict[int, _Collected] = {}
        self._next_id = 1
        self._transport: asyncio.Transport | None = None
        self._ready = asyncio.Event()
        self._lost = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def is_alive(self) -> bool:
        """Whether a runner answers."""
        return self._ready.is_set()

    @property
    def running(self) -> int:
        """Streams and collected items that are with the runner, queued ones included."""
        return len(self._streams) + len(self._collected)

    @property
    def runner_pid(self) -> int:
        """Pid of our own runner; 0 when another started it or there is none."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Connect. Raises RunnerUnavailable when no runner answers in time; keeps trying all the same."""
        self._keeper = asyncio.create_task(self._keep())
        try:
            async with asyncio.timeout(_STARTED_WITHIN_S):
                await self._ready.wait()
        except TimeoutError as fault:
            message = f"no runner answers on {self._socket or 'its socket'} after {_STARTED_WITHIN_S:g} s"
            raise RunnerUnavailable(message) from fault

    async def close(self) -> None:
        """Disconnect: the runner kills what is not detached. Our own runner then ends by itself."""
        await end(self._keeper)
        if self._transport is not None:
            self._transport.close()
        self._drop("the agent stopped")
        if self._process is not None:
            await self._process.leave()

    def reload(self, env: Mapping[str, str]) -> None:
        """Give later items another declared environment (our own runner only)."""
        if self._process is not None:
            self._process.reload(env)

    async def spawn_stream(
        self, command: Command, *, detached: bool = False, stdin_data: bytes = b"", work_dir: bytes = b""
    ) -> Stream:
        """Start a streamed process. Raises RunnerUnavailable."""
        if not self.is_alive:
            await self._wait_ready()
        ident = self._take_id()
        stream = self._streams[ident] = Stream(self.send, ident)
        spawn = Spawn(
            id=ident,
            command=command,
            detached=detached,
            stdin_data=stdin_data,
            work_dir=work_dir,
            # Somebody waits for it, to feed the process or to leave it alone.
            says_began=command.has_stdin or detached,
        )
        self.send(RunnerRequest(spawn=spawn))
        return stream

    def batch(self, spawns: Sequence[Spawn], on_finished: FinishedCallback, *, slots: int = 0) -> list[int]:
        """Queue collected items; return the ids given to them, in order.

        `spawns` need no id and no `collect`. `on_finished` gets each Finished once, in groups as they
        arrive, from the event loop. Raises RunnerUnavailable when there is no runner now.
        """
        if not self.is_alive:
            message = "the runner is being restarted"
            raise RunnerUnavailable(message)
        now = time.time()
        ids = []
        for spawn in spawns:
            spawn.id = self._take_id()
            spawn.collect = True
            self._collected[spawn.id] = _Collected(on_finished, now)
            ids.append(spawn.id)
        self.send(RunnerRequest(batch=Batch(spawns=spawns, slots=slots or self.slots)))
        return ids

    def kill(self, ident: int, *, ending: Ending = CANCELLED, queued_too: bool = True) -> None:
        """End a collected item, or take it from the queue."""
        self.send(RunnerRequest(kill=Kill(id=ident, ending=ending, queued_too=queued_too)))

    async def wait_alive(self) -> None:
        """Wait until a runner answers."""
        await self._ready.wait()

    async def wait_changed(self) -> None:
        """Wait until the runner is lost, or answers again."""
        await (self._lost if self.is_alive else self._ready).wait()

    def send(self, request: RunnerRequest) -> None:
        """Send a frame; dropped when there is no runner, whose items then are lost anyway."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(request))

    async def _wait_ready(self) -> None:
        try:
            async with asyncio.timeout(5):
                await self._ready.wait()
        except TimeoutError as fault:
            message = "the runner is down and is being restarted"
            raise RunnerUnavailable(message) from fault

    def _take_id(self) -> int:
        ident = self._next_id
        self._next_id += 1
        return ident

    async def _keep(self) -> None:
        """Connect, wait for the loss, connect again; slower each time that it does not hold."""
        failures = 0
        while True:
            try:
                path = await self._process.start() if self._process else self._socket
                assert path is not None  # noqa: S101 - one of the two is given
                await self._connect(path)
                failures = 0
                await self._lost.wait()
                self.restarts += 1
                _log.error("runner lost", extra={"event": "runner_lost"})
            except (OSError, RunnerUnavailable) as fault:
                if failures == 0:
                    _log.warning("no runner: %s", fault, extra={"event": "runner_unavailable"})
                failures += 1
            await asyncio.sleep(_BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)])

    async def _connect(self, path: Path) -> None:
        self._lost.clear()
        loop = asyncio.get_running_loop()
        # Through the folder's descriptor: the path may be longer than a socket's name may be.
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            short = f"/proc/self/fd/{folder}/{path.name}"
            transport, _ = await loop.create_unix_connection(
                lambda: _Protocol(self._received, self._disconnected), short
            )
        finally:
            os.close(folder)
        self._transport = transport
        try:
            async with asyncio.timeout(_STARTED_WITHIN_S):
                await self._ready.wait()
        except TimeoutError as fault:
            transport.close()
            message = "the runner accepts but does not answer"
            raise RunnerUnavailable(message) from fault

    def _disconnected(self) -> None:
        self._ready.clear()
        self._transport = None
        self._lost.set()
        self._drop("the runner died")

    def _drop(self, why: str) -> None:
        """End all that is in flight as RUNNER_LOST."""
        streams, self._streams = self._streams, {}
        collected, self._collected = self._collected, {}
        for ident, stream in streams.items():
            stream.deliver(_lost(ident, why, time.time()))
        by_callback: dict[FinishedCallback, list[Finished]] = {}
        for ident, entry in collected.items():
            by_callback.setdefault(entry.callback, []).append(_lost(ident, why, entry.began_s))
        for callback, finished in by_callback.items():
            callback(finished)

    def _received(self, payload: bytes) -> None:
        event = RunnerEvent.FromString(payload)
        kind = event.WhichOneof("event")
        if kind == "output":
            self._deliver(event.output)
        elif kind == "finished_batch":
            self._finish(event.finished_batch.finished)
        elif kind == "finished":
            self._deliver(event.finished)
            self._streams.pop(event.finished.id, None)
        elif kind == "began":
            self._deliver(event.began)
        elif kind == "taken":
            stream = self._streams.get(event.taken.id)
            if stream is not None:
                stream.taken(event.taken.bytes)
        elif kind == "ready":
            self.slots = event.ready.slots
            self._ready.set()

    def _deliver(self, event: Began | Output | Finished) -> None:
        stream = self._streams.get(event.id)
        if stream is not None:
            stream.deliver(event)

    def _finish(self, batch: Sequence[Finished]) -> None:
        by_callback: dict[FinishedCallback, list[Finished]] = {}
        for finished in batch:
            entry = self._collected.pop(finished.id, None)
            if entry is not None:
                by_callback.setdefault(entry.callback, []).append(finished)
        for callback, group in by_callback.items():
            callback(group)


def _lost(ident: int, why: str, began_s: float) -> Finished:
    return Finished(id=ident, exit=Exit(ending=RUNNER_LOST, error=why), start_unix_s=began_s, end_unix_s=time.time())


class _Protocol(asyncio.Protocol):
    def __init__(self, received: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self._decoder = Decoder()
        self._received = received
        self._lost = lost
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for payload in self._decoder.feed(data):
                self._received(payload)
        except FrameError:
            if self._transport is not None:
                self._transport.close()

    def connection_lost(self, _fault: Exception | None) -> None:
        self._lost()
