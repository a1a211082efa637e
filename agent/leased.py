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

from agent import returned
from agent.access import current_principal
from agent.audit.lines import ItemEnd
from agent.held import HeldResults
from agent.node import Node
from agent.proto import agent_pb2 as pb
from agent.proto.runner_pb2 import Finished, Kill, RunnerRequest, Spawn
from agent.run_folders import RunFolders, has_files, remove
from agent.runner_client import RunnerUnavailable

_log = logging.getLogger("gaxx.work")

ENVIRONMENT_LIMIT_BYTES = 128 * 1024 - 16
"""Longer items come on stdin and in a file: the kernel takes no variable of 128 KiB."""
INLINE_BYTES = 16 * 1024
"""Of stdout and of stderr in a result; what is longer is fetched."""
BATCH = 512
BATCH_BYTES = 4 * 1024 * 1024
"""Of results in one message."""
CHUNK_BYTES = 256 * 1024
RUNNER_WITHIN_S = 20.0
"""How long leased items wait for a runner that is being restarted."""
NEVER_STARTED = "never started"
UNLIMITED_BYTES = 1 << 62


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
        self._held = HeldResults(folder / "results")
        self._flights: dict[int, _Flight] = {}
        self._outbox: collections.deque[pb.ItemResult | int] = collections.deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: list[_Flight] = []
        self._collecting: list[int] = []
        self._over = False
        kept = (pb.ItemResult.FromString(self._held.read(ident)) for ident in self._held.ids)
        self._on_disk = {result.result_id for result in kept if has_files(result)}
        self.configure(hello)

    def configure(self, hello: pb.WorkRequest.Hello) -> None:
        """Take a controller's wishes for the items to come."""
        self._hello = hello
        self._folders.configure(hello)
        env = {name: value for name, value in hello.env.items() if not name.startswith("GAXX_")}
        env["GAXX_RUN_ID"] = hello.run_id.encode()
        env["GAXX_NODE"] = self._node.manifest.node.encode()
        env["GAXX_NODE_RANK"] = b"%d" % hello.node_rank
        env["GAXX_NODE_COUNT"] = b"%d" % hello.node_count
        if hello.item_count:
            env["GAXX_ITEM_COUNT"] = b"%d" % hello.item_count
        env["GAXX_RUN_DIR"] = os.fsencode(self._folders.run)
        env["GAXX_WORK_DIR"] = os.fsencode(self._folders.home)
        # Everything that is the same for all items, copied for each by the protobuf library at C's speed.
        self._pattern = Spawn(
            work_dir=os.fsencode(self._folders.home if hello.cwd else self._folders.run),
            inline_limit_bytes=INLINE_BYTES,
            command=pb.Command(
                cwd=hello.cwd,
                env=env,
                deadline_s=hello.deadline_s,
                stdout_limit_bytes=UNLIMITED_BYTES if hello.keep_whole_output else hello.stdout_limit_bytes,
                stderr_limit_bytes=UNLIMITED_BYTES if hello.keep_whole_output else hello.stderr_limit_bytes,
            ),
        )

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

    @property
    def held(self) -> int:
        """How many results wait for acknowledgement."""
        return len(self._held)

    # What the controller asks

    def attach(self) -> int:
        """A new stream: everything unacknowledged is sent again. Return the stream's generation."""
        self.generation += 1
        self._outbox = collections.deque(self._held.ids)
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

    def acknowledge(self, result_ids: Sequence[int]) -> None:
        """The controller has these: forget them, and what lies on disk for them."""
        for result_id in self._on_disk.intersection(result_ids):
            self._folders.drop(pb.ItemResult.FromString(self._held.read(result_id)))
            self._on_disk.discard(result_id)
        self._held.forget(result_ids)

    def fetch(self, request: pb.WorkRequest.FetchOutput) -> pb.WorkEvent:
        """Return one chunk of an output or file that was too large for its result."""
        chunk = pb.WorkEvent.Chunk(result_id=request.result_id, name=request.name, offset=request.offset)
        try:
            path = self._folders.fetched(pb.ItemResult.FromString(self._held.read(request.result_id)), request.name)
            with path.open("rb") as file:
                file.seek(request.offset)
                chunk.data = file.read(CHUNK_BYTES)
                chunk.last = file.tell() >= os.fstat(file.fileno()).st_size
        except KeyError:
            chunk.error = "the node has no such result"
        except OSError as fault:
            chunk.error = f"{fault.filename}: {fault.strerror}"
        return pb.WorkEvent(chunk=chunk)

    def take(self) -> list[pb.ItemResult]:
        """Return the next results to be sent, oldest first: as many as one message should have."""
        batch: list[pb.ItemResult] = []
        size = 0
        while self._outbox and len(batch) < BATCH and size < BATCH_BYTES:
            entry = self._outbox.popleft()
            if isinstance(entry, pb.ItemResult):
                batch.append(entry)
            elif entry in self._held:
                batch.append(pb.ItemResult.FromString(self._held.read(entry)))
            else:
                continue
            size += batch[-1].ByteSize()
        return batch

    def bye(self) -> None:
        """The run is over: call off what is left, remove what lies here for it."""
        self._over = True
        self.cancel(pb.WorkRequest.Cancel(all=True))
        for task in self._tasks:
            task.cancel()
        self._held.remove()
        self._folders.remove()

    def close(self) -> None:
        """The agent ends, or nothing of the run is left here: what is held waits on disk, files that were sent stay."""
        self._over = True
        for task in self._tasks:
            task.cancel()
        if self.held:
            self._held.close()
        else:
            self._held.remove()

    def sync(self) -> None:
        """Have the held results on disk; may be called from another thread. Raises OSError."""
        self._held.sync()

    # From lease to runner

    def _submit(self, flights: list[_Flight]) -> None:
        try:
            # Filled before anything is sent: an item that cannot be written down fails alone.
            spawns = [self._spawn(flight) for flight in flights]
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

    def _spawn(self, flight: _Flight) -> Spawn:
        item = flight.item
        spawn = Spawn()
        spawn.CopyFrom(self._pattern)
        command = spawn.command
        command.argv.extend(item.argv)
        env = command.env
        env["GAXX_ITEM_INDEX"] = b"%d" % item.index
        env["GAXX_ATTEMPT"] = b"%d" % item.attempt
        value = item.value
        if _needs_file(value):
            env["GAXX_ITEM_FILE"] = os.fsencode(self._write_value(item))
            spawn.stdin_data = value
        else:
            env["GAXX_ITEM"] = value
        if flight.deadline_s:
            command.deadline_s = flight.deadline_s
        if self._hello.isolate or item.files:
            folder = self._folders.prepare(item)
            if self._hello.isolate:
                spawn.work_dir = os.fsencode(folder)
                command.cwd = b""
        spawn.spool = os.fsencode(self._folders.outputs(item))
        return spawn

    def _write_value(self, item: pb.Item) -> Path:
        path = self._folders.value_file(item)
        self._folders.place(path, item.value, 0o640)
        return path

    # From runner to controller

    def _finished(self, batch: Sequence[Finished]) -> None:
        results: list[pb.ItemResult] = []
        ends: list[ItemEnd] = []
        for finished in batch:
            flight = self._flights.pop(finished.id, None)
            if flight is None:
                continue
            ends.append(ItemEnd(flight.principal, flight.item.index, flight.item.attempt, finished.exit))
            if self._over:
                continue
            result = self._result(flight.item, finished)
            self._node.metrics.executed(finished.exit.ending, finished.exit.wall_s, item=True)
            item = flight.item
            if self._hello.isolate or self._hello.return_globs or item.return_globs:
                self._collecting.append(flight.item.index)
                self._start(self._collect(flight.item, result))
            else:
                results.append(result)
            if _needs_file(flight.item.value):
                self._folders.value_file(flight.item).unlink(missing_ok=True)
        self._node.audit.items_ended(self.run_id, ends)
        self._node.activity.items_ended(len(batch))
        if results:
            self._hold(results)

    def _result(self, item: pb.Item, finished: Finished) -> pb.ItemResult:
        return pb.ItemResult(
            result_id=self._held.take_id(),
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
        try:
            self._held.append([(result.result_id, result.SerializeToString()) for result in results])
        except OSError as fault:
            # It can still be delivered; if the stream breaks first, the item will be leased again.
            _log.error("a result cannot be held: %s", fault.strerror, extra={"event": "hold", "run": self.run_id})
        self._on_disk.update(result.result_id for result in results if has_files(result))
        self._outbox.extend(results)
        self.wake.set()

    def _start(self, work: collections.abc.Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("collecting failed", exc_info=task.exception(), extra={"event": "collect", "run": self.run_id})


def _needs_file(value: bytes) -> bool:
    return len(value) >= ENVIRONMENT_LIMIT_BYTES or b"\0" in value
