"""One controller's turn at a run: open what is on disk, connect, drive to the end, say how it ended.

A run may have many sessions: the first begins it, `--resume` and `runs attach` go on where the one before stopped.
"""

import asyncio
import collections.abc
import contextlib
import dataclasses
import pathlib
import signal
import time
import typing

from agent.proto import agent_pb2 as pb
from components.errors import GaxxError
from components.inventory import Node
from tasks import inventory, selection
from tasks.inventory import Found
from tasks.work import emit, items, merge
from tasks.work.commit import Committer
from tasks.work.cost import hourly_usd
from tasks.work.doubt import Doubt
from tasks.work.emit import Shown
from tasks.work.hello import hello
from tasks.work.intake import Input
from tasks.work.journal import Fold, Journal, records
from tasks.work.ledger import Ledger
from tasks.work.mapper import Mapper
from tasks.work.node_stream import NodeStream, Way
from tasks.work.options import MapOptions
from tasks.work.order import Shuffled
from tasks.work.queue import LeaseQueue
from tasks.work.results import ResultStore
from tasks.work.run_folder import RunFolder
from tasks.work.states import State

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

    def aside(self) -> contextlib.AbstractContextManager[None]:
        """Leave stdout and stderr to somebody else for the length of the block; called from a thread."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Parts:
    """What a session works with."""

    spool: items.Spool
    feeding: Input
    way: Way
    store: ResultStore
    printer: emit.Printer | emit.FolderPrinter
    journal: Journal
    committer: Committer
    mapper: Mapper


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
        shown: Shown = "outputs",
    ) -> None:
        self.folder = folder
        self.options = options
        self._found = found
        self._nodes = nodes
        self._watcher = watcher
        self._number = number
        self._retry_failed = retry_failed
        self._shown = shown
        self._interrupts = 0
        self._refreshed_s = time.monotonic()
        self._known = found.inventory
        self._doubt = Doubt(found.stack, self._watcher.note)
        self._cache_s = found.stack.cache.stat().st_mtime if found.stack.cache.exists() else 0.0

    def run(self, spool: items.Spool, source: typing.BinaryIO | None) -> Ended:
        """Drive the run until it is over; blocks. Raise GaxxError when the controller itself cannot go on."""
        return asyncio.run(self._run(spool, source))

    async def _run(self, spool: items.Spool, source: typing.BinaryIO | None) -> Ended:
        begin_s = time.monotonic()
        parts = self._open(spool, source)
        mapper = parts.mapper
        self._mind_signals(mapper)
        names = [node.name for node in self._nodes]
        parts.committer.event("session", number=self._number, time=time.time(), nodes=names)
        # Nothing to do is done without asking anybody.
        for rank, node in enumerate(() if mapper.queue.finished else self._nodes):
            mapper.add(NodeStream(parts.way, node, self._hello(rank, spool), mapper))
        self._watcher.begin(mapper)
        try:
            await mapper.run(lambda: self._more(parts))
        finally:
            self._watcher.end()
            await mapper.close(bye=mapper.queue.finished)
        ledger, reason = await self._conclude(parts)
        code = CLOSED_PIPE if parts.committer.reader_gone else _exit_code(mapper, ledger)
        return Ended(self.folder.id, ledger, code, reason, time.monotonic() - begin_s)

    def _open(self, spool: items.Spool, source: typing.BinaryIO | None) -> "_Parts":
        options = self.options
        way = Way(self._found)
        feeding = Input(spool, source)
        feeding.open(whole=options.shuffle is not None)
        store = ResultStore(
            self.folder.path, results=options.results, returns_to=options.returns_to, collide=options.returns_collide
        )
        printer = emit.printer_for(self._shown, options, store, self.folder, self._watcher.aside)
        journal = Journal(self.folder.journal)
        committer = Committer(journal, store, spool, printer)
        order = Shuffled(spool.count, options.shuffle) if options.shuffle is not None else None
        queue = LeaseQueue(attempts=options.attempts, lease_s=options.lease_s, order=order)
        self._restore(queue, spool, committer)
        mapper = Mapper(
            options, spool, queue, store, committer, self._watcher, run_id=self.folder.id, session=self._number
        )
        if options.max_cost:
            mapper.ending.hourly_usd = hourly_usd(self._nodes)
        loop = asyncio.get_running_loop()

        def grown() -> None:
            if spool.complete and source is not None and not queue.complete:
                committer.event("spooled", items=spool.count, sha256=spool.sha256)
            mapper.grown()

        feeding.follow(lambda: _soon(loop, grown))
        grown()
        return _Parts(spool, feeding, way, store, printer, journal, committer, mapper)

    def _more(self, parts: "_Parts") -> None:
        """What is done at every tick, beside the run itself; raise SpoolError when the input cannot be read on."""
        if parts.feeding.error is not None:
            raise parts.feeding.error
        queue = parts.mapper.queue
        parts.feeding.make_room(queue.items.answered)
        self._watcher.tick()
        self._look_at_refusals(parts.mapper)
        if time.monotonic() - self._refreshed_s > REFRESH_S and not queue.finished:
            self._refreshed_s = time.monotonic()
            self._refresh(parts)

    def _look_at_refusals(self, mapper: Mapper) -> None:
        if not self._found.cached:
            return
        self._doubt.look(self._known, refused=any(lane.stream.refused for lane in mapper.lanes.values()))
        mapper.ending.hoping = self._doubt.hoping
        if self._doubt.answered:
            self._doubt.answered = False
            self._refreshed_s = 0.0

    async def _conclude(self, parts: "_Parts") -> tuple[Ledger, str]:
        """Show what waits, write the ledger, merge the outputs."""
        mapper = parts.mapper
        if not parts.committer.reader_gone:
            await asyncio.to_thread(parts.printer.finish)
            self._tell_failures(mapper)
        stop = mapper.ending.stop
        ledger = mapper.queue.items.ledger(interrupted=stop is not None and stop.interrupted)
        reason = stop.reason if stop else ""
        parts.journal.event("ledger", run=self.folder.id, time=time.time(), reason=reason, **ledger.as_dict())
        parts.journal.sync()
        parts.journal.close()
        if self.options.merge != "none" and ledger.ok:
            count = await asyncio.to_thread(self._merge, parts.store)
            self._watcher.note(f"{self.options.output}: the outputs of {count} items")
        parts.store.close()
        return ledger, reason

    def _tell_failures(self, mapper: Mapper) -> None:
        """Say why: an item that could not be started has no words of its own. Events have it line by line."""
        if self._shown == "outputs":
            for line in mapper.failures.sentences(self.folder.id):
                self._watcher.note(line)

    def _hello(self, rank: int, spool: items.Spool) -> pb.WorkRequest.Hello:
        return hello(self.folder, self.options, spool, rank=rank, nodes=len(self._nodes))

    def _merge(self, store: ResultStore) -> int:
        fold = Fold.of(self.folder.journal)
        outputs = merge.outputs_of(records(self.folder.journal), fold, store)
        return merge.merge(self.options.merge, outputs, pathlib.Path(self.options.output))

    def _restore(self, queue: LeaseQueue, spool: items.Spool, committer: Committer) -> None:
        """Take what earlier sessions' journal says for what is done."""
        queue.items.grow(spool.count)
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

    def _refresh(self, parts: "_Parts") -> None:
        """Notice nodes that joined, left or were replaced: the cached inventory is written by every `up`."""
        try:
            changed_s = self._found.stack.cache.stat().st_mtime
            if changed_s == self._cache_s:
                return
            found = inventory.find(self._found.stack)
            chosen = selection.select(found.inventory, self.options.nodes)
        except (GaxxError, OSError):
            # Being written just now, or the stack is being taken down: what is known holds until the next look.
            return
        self._cache_s = changed_s
        mapper = parts.mapper
        self._known = found.inventory
        parts.way.renew(found)
        for node in chosen:
            if node.name in mapper.lanes:
                mapper.renew(node)
            else:
                self._watcher.note(f"{node.name} joins")
                mapper.add(NodeStream(parts.way, node, self._hello(len(mapper.lanes), parts.spool), mapper))
        for name in set(mapper.lanes) - {node.name for node in chosen}:
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


def _exit_code(mapper: Mapper, ledger: Ledger) -> int:
    stop = mapper.ending.stop
    if stop is not None and stop.interrupted:
        return 130
    if stop is not None:
        return 4
    if ledger.skipped:
        refused = [lane.stream.refused for lane in mapper.lanes.values()]
        return 2 if refused and all(refused) else 5
    return 3 if ledger.failed or ledger.quarantined else 0
