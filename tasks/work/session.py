"""One controller's turn at a run: open what is on disk, connect, drive to the end, say how it ended.

A run may have many sessions: the first begins it, `--resume` and `runs attach` go on where the one before stopped.
"""

import asyncio
import collections.abc
import contextlib
import dataclasses
import os
import signal
import stat
import sys
import threading
import time
import typing

from agent.proto import agent_pb2 as pb
from components.errors import GaxxError
from components.inventory import Node
from tasks import identity, inventory, selection
from tasks.inventory import Found
from tasks.reach import Reach
from tasks.work import emit, items
from tasks.work.commit import Committer
from tasks.work.journal import Fold, Journal
from tasks.work.ledger import Ledger
from tasks.work.mapper import Mapper
from tasks.work.node_stream import NodeStream, Way
from tasks.work.options import MapOptions
from tasks.work.order import Shuffled
from tasks.work.queue import LeaseQueue, State
from tasks.work.results import ResultStore
from tasks.work.run_folder import RunFolder

AHEAD_ITEMS = 1_000_000
AHEAD_BYTES = 256 * 1024 * 1024
"""An endless input is read so far ahead of the work, and no further."""
SHORT_INPUT_S = 0.3
"""A pipe that ends within so long has a known number of items from the start."""
REFRESH_S = 2.0
CLOSED_PIPE = 141


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """How a session ended."""

    run_id: str
    ledger: Ledger
    exit_code: int
    reason: str
    wall_s: float


class Watcher(typing.Protocol):
    """Shows how the run goes."""

    def note(self, text: str) -> None:
        """Say one thing that happened."""

    def begin(self, mapper: Mapper) -> None:
        """The run begins."""

    def tick(self) -> None:
        """A quarter of a second has gone by."""

    def end(self) -> None:
        """The run is over: leave the terminal as it was."""


class Input:
    """The items' source: a file that is there already or a pipe that is read while the run goes."""

    def __init__(self, spool: items.Spool, source: typing.BinaryIO | None) -> None:
        self.error: GaxxError | None = None
        self._spool = spool
        self._source = source
        self._room = threading.Event()
        self._room.set()
        self._ended = threading.Event()
        self._grown: collections.abc.Callable[[], None] = lambda: None

    def read_all(self) -> None:
        """Spool everything, now; raise SpoolError."""
        if self._source is not None:
            for block in items.blocks(self._source):
                self._spool.feed(block)
            self._spool.finish()

    def start(self, *, wait_s: float) -> None:
        """Spool in a thread; return when the input has ended or `wait_s` are over."""
        if self._source is None:
            return
        # A daemon: nobody waits for an input that never ends once the run is over.
        threading.Thread(target=self._read, name="input", daemon=True).start()
        self._ended.wait(wait_s)

    def follow(self, grown: collections.abc.Callable[[], None]) -> None:
        """Call `grown` (from the reading thread) whenever there is more."""
        self._grown = grown

    def make_room(self, done: int) -> None:
        """Say how many items are done: reading goes on when it is not too far ahead."""
        ahead = self._spool.count - done
        each = self._spool.size_bytes / max(self._spool.count, 1)
        if ahead > AHEAD_ITEMS and ahead * each > AHEAD_BYTES:
            self._room.clear()
        else:
            self._room.set()

    def _read(self) -> None:
        try:
            for block in items.blocks(typing.cast("typing.BinaryIO", self._source)):
                if self._spool.feed(block):
                    self._grown()
                self._room.wait()
            self._spool.finish()
        except GaxxError as error:
            self.error = error
        self._ended.set()
        self._grown()


class Session:
    """Everything one controller needs to drive a run; make it inside `folder.driving()`."""

    def __init__(
        self,
        folder: RunFolder,
        options: MapOptions,
        found: Found,
        nodes: collections.abc.Sequence[Node],
        watcher: Watcher,
        *,
        number: int,
        retry_failed: bool = False,
        as_json: bool = False,
    ) -> None:
        self.folder = folder
        self.options = options
        self._found = found
        self._nodes = nodes
        self._watcher = watcher
        self._number = number
        self._retry_failed = retry_failed
        self._as_json = as_json
        self._interrupts = 0

    def run(self, spool: items.Spool, source: typing.BinaryIO | None) -> Ended:
        """Drive the run until it is over; blocks. Raise GaxxError when the controller itself cannot go on."""
        return asyncio.run(self._run(spool, source))

    async def _run(self, spool: items.Spool, source: typing.BinaryIO | None) -> Ended:
        begin_s = time.monotonic()
        options = self.options
        way = _way(self._found)
        feeding = Input(spool, source)
        known = source is not None and _is_file(source)
        if known or options.shuffle is not None:
            feeding.read_all()
        else:
            feeding.start(wait_s=SHORT_INPUT_S)
        store = ResultStore(
            self.folder.path, results=options.results, returns_to=options.returns_to, collide=options.returns_collide
        )
        printer = self._printer(store)
        journal = Journal(self.folder.journal)
        committer = Committer(journal, store, spool, printer)
        order = Shuffled(spool.count, options.shuffle) if options.shuffle is not None else None
        queue = LeaseQueue(attempts=options.attempts, lease_s=options.lease_s, order=order)
        self._restore(queue, spool, committer)
        mapper = Mapper(
            options, spool, queue, store, committer, self._watcher, run_id=self.folder.id, session=self._number
        )
        loop = asyncio.get_running_loop()

        def grown() -> None:
            if spool.complete and source is not None and not queue.complete:
                committer.event("spooled", items=spool.count, sha256=spool.sha256)
            mapper.grown()

        feeding.follow(lambda: _soon(loop, grown))
        grown()
        self._mind_signals(mapper)
        names = [node.name for node in self._nodes]
        committer.event("session", number=self._number, time=time.time(), nodes=names)
        # Nothing to do is done without asking anybody.
        for rank, node in enumerate(() if queue.finished else self._nodes):
            mapper.add(NodeStream(way, node, self._hello(rank, spool), mapper))
        self._watcher.begin(mapper)
        refreshed_s = begin_s

        def more() -> None:
            nonlocal refreshed_s
            if feeding.error is not None:
                raise feeding.error
            feeding.make_room(queue.done)
            self._watcher.tick()
            if time.monotonic() - refreshed_s > REFRESH_S:
                refreshed_s = time.monotonic()
                if not queue.finished:
                    self._refresh(mapper, way, spool)

        try:
            await mapper.run(more)
        finally:
            self._watcher.end()
            complete = queue.finished
            await mapper.close(bye=complete)
        if not committer.reader_gone:
            await asyncio.to_thread(printer.finish)
        ledger = queue.ledger(interrupted=mapper.stop is not None and mapper.stop.interrupted)
        reason = mapper.stop.reason if mapper.stop else ""
        journal.event("ledger", run=self.folder.id, time=time.time(), reason=reason, **ledger.as_dict())
        journal.sync()
        journal.close()
        store.close()
        code = CLOSED_PIPE if committer.reader_gone else _exit_code(mapper, ledger)
        return Ended(self.folder.id, ledger, code, reason, time.monotonic() - begin_s)

    def _printer(self, store: ResultStore) -> emit.Printer | emit.FolderPrinter:
        out, err = sys.stdout.buffer, sys.stderr.buffer
        printer: emit.Printer
        if self._as_json:
            printer = emit.JsonPrinter(store, out, self.folder.id)
        elif self.options.keep_order:
            printer = emit.OrderedPrinter(store, out, err, self.folder.path / "order")
        else:
            printer = emit.Printer(store, out, err)
        return emit.FolderPrinter(store, printer) if self.options.results else printer

    def _restore(self, queue: LeaseQueue, spool: items.Spool, committer: Committer) -> None:
        """Take what earlier sessions' journal says for what is done."""
        queue.grow(spool.count)
        if self._number == 1:
            return
        fold = Fold.of(self.folder.journal)
        again: list[int] = []
        for index, value in enumerate(fold.states[: spool.count]):
            state = State(value)
            if self._retry_failed and state in (State.FAILED, State.QUARANTINED):
                again.append(index)
                state = State.PENDING
            if state is not State.PENDING or fold.attempts[index]:
                queue.restore(index, state, fold.attempts[index], fold.failed_on.get(index, ()))
        if again:
            committer.event("reopen", reopened=again)

    def _hello(self, rank: int, spool: items.Spool) -> pb.WorkRequest.Hello:
        options = self.options
        return pb.WorkRequest.Hello(
            run_id=self.folder.id,
            env=dict(options.env),
            cwd=os.fsencode(options.cwd),
            deadline_s=options.time_limit.seconds,
            stdout_limit_bytes=options.output_limit_bytes,
            stderr_limit_bytes=options.output_limit_bytes,
            slots=options.slots,
            lease_s=options.lease_s,
            return_globs=[os.fsdecode(glob) for glob in options.common_returns],
            keep_whole_output=options.keep_whole_output,
            node_rank=rank,
            node_count=len(self._nodes),
            item_count=spool.count if spool.complete else 0,
            isolate=options.isolate,
            files=[
                pb.WorkRequest.SentFile(path=file.path, data=self.folder.sent(file.sha256).read_bytes(), mode=file.mode)
                for file in options.files
            ],
        )

    def _refresh(self, mapper: Mapper, way: Way, spool: items.Spool) -> None:
        """Notice nodes that joined or left the fleet: the cached inventory is written by every `up`."""
        try:
            found = inventory.find(self._found.stack) if self._found.stack.cache.exists() else self._found
            chosen = selection.select(found.inventory, self.options.nodes)
        except GaxxError:
            return
        names = {node.name for node in chosen}
        for node in chosen:
            if node.name not in mapper.lanes:
                self._watcher.note(f"{node.name} joins")
                mapper.add(NodeStream(way, node, self._hello(len(mapper.lanes), spool), mapper))
        for name in mapper.lanes:
            if name not in names and not mapper.queue.holders[name].draining:
                self._watcher.note(f"{name} leaves the fleet: it gets nothing more")
                mapper.drain(name)

    def _mind_signals(self, mapper: Mapper) -> None:
        def interrupt() -> None:
            self._interrupts += 1
            if self._interrupts == 1:
                self._watcher.note("stopping: what runs may finish; Ctrl-C again ends it now")
            mapper.halt("cancelled", now=self._interrupts > 1, interrupted=True)

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)


def _soon(loop: asyncio.AbstractEventLoop, call: collections.abc.Callable[[], None]) -> None:
    # The reading thread may outlive the run.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call)


def _way(found: Found) -> Way:
    me = identity.agent_identity(found.inventory, identity.load())
    return Way(Reach(found, me), me, found.inventory.authority_certificate)


def _is_file(source: typing.BinaryIO) -> bool:
    return stat.S_ISREG(os.fstat(source.fileno()).st_mode)


def _exit_code(mapper: Mapper, ledger: Ledger) -> int:
    stop = mapper.stop
    if stop is not None and stop.interrupted:
        return 130
    if stop is not None:
        return 4
    if ledger.skipped:
        refused = [lane.stream.refused for lane in mapper.lanes.values()]
        return 2 if refused and all(refused) else 5
    return 3 if ledger.failed or ledger.quarantined else 0
