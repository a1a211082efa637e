"""What this controller has collected of a node's audit trail, where only its user reads: evidence, not a cache.

<private>/audit/<stack>/<node>/<machine>/000000000001.jsonl     the lines, byte for byte
                                         head.json              the last one: what a later trail must contain
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Iterable, Iterator

from components.errors import GaxxError
from tasks import private
from tasks.audit.chain import Head, Line, Record, parse

_NAME = "[0-9]" * 12 + ".jsonl"
_TIME = re.compile(rb'\{"seq":[0-9]+,"time":"([^"]*)"')


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """The lines of one machine's trail; hold `locked` while anything is done with them."""

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

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of this user from it."""
        private.folder(self.folder)
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

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
            for number, raw in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
                line = Line.read(path.name, number, raw)
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

    def append(self, lines: Iterable[Line], head: Head) -> None:
        """Add lines that follow on what is there, or begin anew behind a hole; then remember the head."""
        known = self.head()
        files = self.files()
        new = list(lines)
        met = next((at for at, line in enumerate(new) if known and line.sequence == known.sequence), None)
        if met is not None:
            new = new[met + 1 :]
        if not new:
            return
        if met is not None and known is not None and files:
            path, how = files[-1], os.O_APPEND
            _cut_after(path, known)
        else:
            first = next(line.sequence for line in new if line.sequence)
            # What stands there already is an interrupted collection's.
            path, how = self.folder / f"{first:012}.jsonl", os.O_TRUNC
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"".join(line.raw + b"\n" for line in new))
            file.flush()
            os.fsync(file.fileno())
        private.replace(self.folder / "head.json", json.dumps(head._asdict()) + "\n")


def _cut_after(path: pathlib.Path, head: Head) -> None:
    """Drop what an interrupted collection had written behind the head."""
    lines = path.read_bytes().split(b"\n")
    for index in range(len(lines) - 1, -1, -1):
        if Line.read(path.name, index + 1, lines[index]).sequence == head.sequence:
            whole = sum(len(line) + 1 for line in lines[: index + 1])
            if whole != path.stat().st_size:
                os.truncate(path, whole)
            return
