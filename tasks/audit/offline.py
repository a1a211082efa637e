"""Check files of an audit trail without asking anybody: copies from a node, or what a controller has kept."""

import dataclasses
import pathlib
from collections.abc import Sequence

from components.errors import GaxxError
from tasks.audit.chain import Chain, Fault, Head, Line


@dataclasses.dataclass(frozen=True, slots=True)
class Checked:
    """What files were found to be."""

    lines: int
    first: int
    """Number of the first line; 1 where nothing is missing before it."""
    head: Head | None
    fault: Fault | None

    def as_dict(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "ok": self.fault is None,
            "lines": self.lines,
            "first": self.first,
            "head": self.head._asdict() if self.head else None,
            "fault": self.fault._asdict() if self.fault else None,
        }


def check(paths: Sequence[pathlib.Path], *, head: Head | None = None) -> Checked:
    """Check files, or the files of a folder, as one trail, in the order of their names; raise GaxxError.

    `head` is the last line where that is known: without it, lines that are missing at the end are not found.
    """
    chain = Chain()
    count = 0
    for path in _files(paths):
        try:
            data = path.read_bytes()
        except OSError as error:
            message = f"{path}: {error.strerror}"
            raise GaxxError(message) from error
        *lines, rest = data.split(b"\n")
        for number, raw in enumerate([*lines, rest] if rest else lines, 1):
            count += 1
            chain.take(Line.read(str(path), number, raw))
    fault = chain.end(head)
    last = chain.last
    found = Head(last.sequence, last.sha256) if last is not None else None
    return Checked(count, chain.first.sequence if chain.first else 0, found, fault)


def head_of(text: str) -> Head:
    """Read NUMBER:SHA256; raise GaxxError."""
    number, _, sha256 = text.partition(":")
    if not number.isdecimal() or not sha256:
        message = f"--head {text}: not NUMBER:SHA256"
        raise GaxxError(message, hint="`gaxx audit verify` prints the heads of the nodes' trails so")
    return Head(int(number), sha256)


def _files(paths: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    found: list[pathlib.Path] = []
    for path in paths:
        inside = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not inside:
            message = f"{path}: no file of an audit trail in it"
            raise GaxxError(message, hint="they are called like 000000000001.jsonl")
        found += inside
    return found
