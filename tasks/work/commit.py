"""From results to disk: outputs and returned files, then the journal, then the acknowledgement, then the user's eyes.

Results gather while the batch before them is written: one fsync for many, however fast they come.
"""

import asyncio
import collections
import collections.abc
import dataclasses
import pathlib
import typing

from agent.proto import agent_pb2 as pb
from tasks.work.items import Spool, digest
from tasks.work.journal import Attempt, Journal
from tasks.work.node_stream import NodeStream
from tasks.work.results import ResultStore, Stored, out_digest
from tasks.work.states import Effect

ANSWERS = frozenset({Effect.OK, Effect.FAILED, Effect.QUARANTINED})
NO_OUTPUT = Stored(0, 0)


@dataclasses.dataclass(slots=True)
class Returned:
    """A result that has arrived whole, and what it did to its item."""

    stream: NodeStream
    result: pb.ItemResult
    effect: Effect = Effect.DUPLICATE
    kind: str = ""
    error: str = ""
    files_error: str = ""
    """Why its files are not what the node said."""
    fetched: dict[bytes, str] = dataclasses.field(default_factory=dict)
    """Outputs that were fetched in chunks: stdout or stderr to its name in the store."""
    parts: dict[bytes, pathlib.Path] = dataclasses.field(default_factory=dict)
    """Returned files that were fetched in chunks, not yet in their places."""

    @property
    def stores_files(self) -> bool:
        """Whether its files are the item's: those of its answer, also when that is a failure (a test's report)."""
        return self.effect in ANSWERS and not self.files_error


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """An item's answer as it is shown: its line in the journal, its bytes, its outputs."""

    attempt: Attempt
    item: bytes
    stdout: bytes
    stderr: bytes
    stdout_file: str = ""
    """Name in the store of an output too large to be here."""
    stderr_file: str = ""
    stdout_bytes: int = 0
    stderr_bytes: int = 0


class Shown(typing.Protocol):
    """Where answers are shown; called from a thread, one batch after the other."""

    def show(self, answers: collections.abc.Sequence[Answer]) -> None:
        """Show a batch; raise BrokenPipeError when the reader has gone."""


class Committer:
    """Writes results down in the order in which they came."""

    def __init__(self, journal: Journal, store: ResultStore, spool: Spool, shown: Shown) -> None:
        self.backlog_bytes = 0
        """Waiting to be written or shown: above a limit, nothing more should be leased."""
        self.reader_gone = False
        """Nobody reads our output any more: what comes is still written down."""
        self._journal = journal
        self._store = store
        self._spool = spool
        self._shown = shown
        self._waiting: list[Returned] = []
        self._events: list[tuple[str, dict[str, object]]] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._digests: dict[int, str] = {}

    def leased(self, index: int, item: bytes) -> None:
        """Remember an item's name while it is away: its bytes are at hand now."""
        self._digests[index] = digest(item)

    def add(self, returned: Returned) -> None:
        """Queue a result for writing."""
        self._waiting.append(returned)
        self.backlog_bytes += 512 + len(returned.result.stdout) + len(returned.result.stderr)
        self._idle.clear()
        self._wake.set()

    def event(self, name: str, **fields: object) -> None:
        """Queue a line that is no attempt; it is written after what came before it."""
        self._events.append((name, fields))
        self._idle.clear()
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled; raise JournalError."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._waiting = self._waiting, []
            events, self._events = self._events, []
            if batch or events:
                await self._commit(batch, events)
            if not self._waiting and not self._events:
                self._idle.set()

    async def idle(self) -> None:
        """Wait until all that was queued is on disk, acknowledged and shown."""
        await self._idle.wait()

    async def _commit(self, batch: list[Returned], events: list[tuple[str, dict[str, object]]]) -> None:
        answers: list[Answer] = []
        with_files = [returned for returned in batch if returned.result.files]
        if with_files:
            await asyncio.to_thread(self._store_files, with_files)
        lines = [self._write(returned, answers) for returned in batch]
        self._store.flush()
        self._journal.append("".join(lines))
        for name, fields in events:
            self._journal.event(name, **fields)
        await asyncio.to_thread(self._sync)
        acknowledged: dict[NodeStream, list[int]] = {}
        for returned in batch:
            acknowledged.setdefault(returned.stream, []).append(returned.result.result_id)
        for stream, ids in acknowledged.items():
            stream.send(pb.WorkRequest(ack=pb.WorkRequest.Ack(result_ids=ids)))
        if answers and not self.reader_gone:
            try:
                await asyncio.to_thread(self._shown.show, answers)
            except BrokenPipeError:
                self.reader_gone = True
        self.backlog_bytes -= sum(512 + len(entry.result.stdout) + len(entry.result.stderr) for entry in batch)

    def _sync(self) -> None:
        self._store.sync()
        self._journal.sync()

    def _write(self, returned: Returned, answers: list[Answer]) -> str:
        result = returned.result
        exit_ = result.exit
        stdout, stderr = result.stdout, result.stderr
        shown = returned.effect in ANSWERS
        out_name, err_name = returned.fetched.get(b"stdout", ""), returned.fetched.get(b"stderr", "")
        attempt = Attempt(
            item=self._digest(result.index, keep=not shown),
            index=result.index,
            attempt=result.attempt,
            node=returned.stream.name,
            lease=result.lease,
            start=result.start_unix_s,
            end=result.end_unix_s,
            kind=returned.kind,
            state=returned.effect.value,
            exit=exit_.exit_code,
            signal=exit_.signal,
            error=returned.error,
            stdout=(-1, exit_.stdout_bytes) if out_name else self._store.put(stdout) if stdout else NO_OUTPUT,
            stderr=(-1, exit_.stderr_bytes) if err_name else self._store.put(stderr) if stderr else NO_OUTPUT,
            out=out_digest(stdout),
            cut=exit_.stdout_cut or exit_.stderr_cut,
            files=_names(result) if returned.stores_files else (),
        )
        if shown:
            item = self._spool.read(result.index, 1)[0] if self._wants_item(result.index) else b""
            answers.append(
                Answer(attempt, item, stdout, stderr, out_name, err_name, exit_.stdout_bytes, exit_.stderr_bytes)
            )
        return attempt.line()

    def _wants_item(self, index: int) -> bool:
        return getattr(self._shown, "wants_items", False) and index < self._spool.count

    def _digest(self, index: int, *, keep: bool) -> str:
        known = self._digests.get(index) if keep else self._digests.pop(index, None)
        if known is not None:
            return known
        return digest(self._spool.read(index, 1)[0]) if index < self._spool.count else ""

    def _store_files(self, batch: list[Returned]) -> None:
        """Put the files of answers in their places: of no other attempts, a late copy must not replace them."""
        for returned in batch:
            for file in returned.result.files:
                part = returned.parts.get(file.path)
                if returned.stores_files:
                    data = file.inline_data if part is None else part
                    self._store.store_file(returned.result.index, file.path, file.mode, data)
                elif part is not None:
                    part.unlink(missing_ok=True)


def _names(result: pb.ItemResult) -> tuple[tuple[str, int, str], ...]:
    return tuple((file.path.decode("utf-8", "backslashreplace"), file.size_bytes, file.sha256) for file in result.files)
