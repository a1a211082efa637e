"""What this controller has collected of a node's audit trail, where only its user reads: evidence, not a cache.

<private>/audit/<stack>/<node>/<machine>/000000000001.jsonl     the lines, byte for byte
                                         head.json              the last one: what a later trail must contain
"""

import asyncio
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import tempfile
import typing
from collections.abc import AsyncIterator, Iterable, Iterator

from components.errors import GaxxError
from tasks import private
from tasks.audit.chain import Head, Line, Record, parse

_ASK_AGAIN_S = 0.1
_IN_MEMORY_BYTES = 4 * 1024 * 1024
_NAME = "[0-9]" * 12 + ".jsonl"
_TIME = re.compile(rb'\{"seq":[0-9]+,"time":"([^"]*)"')


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """The lines of one machine's trail; hold the stack's lock (`locked`) while anything is added to them."""

    folder: pathlib.Path

    @classmethod
    def of(cls, stack: pathlib.Path, node: str, machine: str) -> "Kept":
        """Of one machine; a node that is made anew begins another trail."""
        return cls(stack / node / hashlib.sha256(machine.encode()).hexdigest()[:12])

    @classmethod
    def every(cls, stack: pathlib.Path, nodes: Iterable[str] | None = None) -> "list[tuple[str, Kept]]":
        """Of all machines that these nodes have been, or of all nodes that the stack has had."""
        names = sorted(path.name for path in stack.glob("*")) if nodes is None else nodes
        return [(name, cls(folder)) for name in names for folder in sorted((stack / name).glob("*"))]

    def head(self) -> Head | None:
        """The last line that was collected; None before the first. Raise GaxxError when it cannot be read."""
        try:
            known = json.loads((self.folder / "head.json").read_text())
            return Head(int(known["sequence"]), str(known["sha256"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"{self.folder / 'head.json'} cannot be read: {error}"
            raise GaxxError(message) from error

    def lines(self) -> Iterator[Line]:
        """What was collected, up to the head."""
        head = self.head()
        for path in self.files():
            with path.open("rb") as file:
                for number, raw in enumerate(file, 1):
                    line = Line.read(path.name, number, raw.rstrip(b"\n"))
                    yield line
                    if head is not None and line.sequence == head.sequence:
                        return

    def records(self, since: str = "") -> Iterator[Record]:
        """What was collected, without asking whether it is whole; from a time on, as the lines write it."""
        begin = since.encode()
        for path in self.files():
            with path.open("rb") as file:
                for raw in file:
                    time = _TIME.match(raw)
                    # Most lines are old: those cost no more than this.
                    if time is None or time[1] >= begin:
                        record = parse(raw)
                        if record:
                            yield record

    def files(self) -> list[pathlib.Path]:
        """The files of lines, oldest first; more than one where the node had dropped what lay between."""
        return sorted(self.folder.glob(_NAME))

    @contextlib.contextmanager
    def incoming(self) -> "Iterator[Incoming]":
        """Take lines from the node; nothing of them is kept unless `keep` is called."""
        private.folder(self.folder)
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES, dir=str(self.folder)) as spool:
            yield Incoming(self, spool)


class Incoming:
    """Lines of one node that are not known to be sound yet; those behind the head that was known are new."""

    def __init__(self, kept: Kept, spool: typing.IO[bytes]) -> None:
        self._kept, self._spool = kept, spool
        self._known = kept.head()
        self._is_new = self._known is None
        self._follows = False
        self._first = 0

    def take(self, line: Line) -> None:
        """Take the next line."""
        if self._known is not None and not self._is_new:
            if line.sequence == self._known.sequence:
                self._is_new = self._follows = True
                return
            # The node had dropped what lay between: there is a hole.
            self._is_new = line.sequence > self._known.sequence
        if self._is_new:
            self._first = self._first or line.sequence
            self._spool.write(line.raw + b"\n")

    def keep(self, head: Head) -> None:
        """Keep what is new, and `head` as the last line."""
        if not self._first:
            return
        files = self._kept.files()
        if self._follows and self._known is not None and files:
            path, how = files[-1], os.O_APPEND
            _cut_after(path, self._known)
        else:
            # What stands there already is an interrupted collection's.
            path, how = self._kept.folder / f"{self._first:012}.jsonl", os.O_TRUNC
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            self._spool.seek(0)
            shutil.copyfileobj(self._spool, file)
            file.flush()
            os.fsync(file.fileno())
        private.replace(self._kept.folder / "head.json", json.dumps(head._asdict()) + "\n")


@contextlib.asynccontextmanager
async def locked(stack: pathlib.Path, *, within_s: float) -> AsyncIterator[None]:
    """Keep other processes of this user from adding to a stack's trails; raise GaxxError when one takes too long."""
    private.folder(stack)
    descriptor = os.open(stack.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Not a blocking call: it would keep Ctrl-C waiting, too.
        for _ in range(max(int(within_s / _ASK_AGAIN_S), 1)):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_ASK_AGAIN_S)
        else:
            message = f"another `gaxx audit` has been collecting for more than {within_s:g} s"
            raise GaxxError(message, hint=f"it holds {stack.with_suffix('.lock')}")
        yield
    finally:
        os.close(descriptor)


def _cut_after(path: pathlib.Path, head: Head) -> None:
    """Drop what an interrupted collection had written behind the head."""
    end = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            end += len(raw)
            if Line.read(path.name, number, raw.rstrip(b"\n")).sequence == head.sequence:
                break
    if end != path.stat().st_size:
        os.truncate(path, end)
