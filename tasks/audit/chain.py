"""Whether lines are a whole audit trail: numbered without a hole, each with the sha256 of the one before. Pure.

What this can find is an edit, a removal, an insertion or another order of lines, and a missing end where the head is
known from elsewhere: from the agent that wrote it, or from what was collected before. Whoever may write the file can
write a new trail that is whole in itself; that it is another one, only what was collected before tells.
"""

import dataclasses
import hashlib
import json
import re
import typing
from collections.abc import Mapping

FIRST_PREV = "0" * 64
"""What line 1 carries in place of a sha256."""

Record = dict[str, typing.Any]

_MOST_TORN = 64

_NAME = re.compile(r"([0-9]{12})\.jsonl$")


class Head(typing.NamedTuple):
    """A line of a trail by its number and sha256; the last one, as a rule."""

    sequence: int
    sha256: str


class Fault(typing.NamedTuple):
    """The first thing that is wrong. `line` counts from 1; 0 where it is not about one line."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.what}" if where else self.what


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One line as it was read; `sequence` is 0 where it is not one of a trail."""

    file: str
    number: int
    """In its file, from 1."""
    raw: bytes
    sha256: str
    sequence: int
    prev: str
    record: Record

    @classmethod
    def read(cls, file: str, number: int, raw: bytes) -> "Line":
        """Take a line, without its newline."""
        record = parse(raw)
        sha256 = hashlib.sha256(raw).hexdigest()
        return cls(file, number, raw, sha256, _number(record.get("seq")), str(record.get("prev", "")), record)

    def fault(self, what: str) -> Fault:
        """Return what is wrong with it."""
        return Fault(self.file, self.number, what)


class Chain:
    """Takes the lines of one trail, oldest first, and remembers the first fault.

    `known` are sha256s of lines by their numbers, from what was collected before. `machine` is whose trail it must be;
    "" for any.
    """

    def __init__(self, known: Mapping[int, str] | None = None, *, machine: str = "") -> None:
        self.fault: Fault | None = None
        self.first: Line | None = None
        self.last: Line | None = None
        self.gaps: list[Line] = []
        """Lines that say that something is missing before them, and why."""
        self._known = known or {}
        self._machine = machine
        self._torn: list[Line] = []
        self._odd: tuple[Line, Line] | None = None
        """Two lines that do not fit: the one after them tells which of the two is not what it was."""
        self._dropped: dict[int, str] = {}

    def take(self, line: Line) -> bool:
        """Take the next line; False when there is a fault, and nothing more need come."""
        if self.fault is None:
            self.fault = self._settle(line) or self._check(line)
        return self.fault is None

    def end(self, head: Head | None = None, *, whole: bool = False) -> Fault | None:
        """Say that no line follows; return the first fault.

        `head` is the last line as its writer says. `whole`: what is missing at the beginning must be accounted for.
        """
        if self.fault is None:
            self.fault = self._settle(None, head) or self._check_end(head) or (self._check_begin() if whole else None)
        return self.fault

    @property
    def dropped_before(self) -> int:
        """How many lines are missing at the beginning."""
        return self.first.sequence - 1 if self.first else 0

    def _settle(self, line: Line | None, head: Head | None = None) -> Fault | None:
        """Blame one of two lines that did not fit, now that it is known what follows."""
        if self._odd is None:
            return None
        before, after = self._odd
        follows = line.prev if line is not None else (head.sha256 if head is not None else "")
        if follows == after.sha256:
            what = f"line {before.sequence} is not what it was when the next one was written: it has been changed"
            return before.fault(what)
        return after.fault(f"line {after.sequence} does not follow from the one before: it has been changed")

    def _check(self, line: Line) -> Fault | None:
        if not line.sequence and len(self._torn) < _MOST_TORN:
            # Torn by a kill, perhaps: then the next line says so.
            self._torn.append(line)
            return None
        if self._torn:
            torn, self._torn = self._torn, []
            told = line.record.get("torn_sha256") if line.record.get("kind") == "gap" else None
            if told != [one.sha256 for one in torn]:
                return torn[0].fault("this is no line of the trail, and the next one does not account for it")
        return self._check_place(line) or self._check_words(line)

    def _check_place(self, line: Line) -> Fault | None:
        what = ""
        seen = self._known.get(line.sequence)
        last, due = self.last, self.last.sequence + 1 if self.last else _due_first(line)
        if not line.sequence:
            what = "this is no line of the trail"
        elif seen is not None and seen != line.sha256:
            what = f"line {line.sequence} is not the one that was collected before: the trail has been rewritten"
        elif line.sequence > due:
            missing = f"lines {due} to {line.sequence - 1} are" if line.sequence - due > 1 else f"line {due} is"
            what = f"{missing} missing: this is line {line.sequence}"
        elif line.sequence < due:
            what = f"this is line {line.sequence} where line {due} was due: not in order"
        elif last is None and line.sequence == 1 and line.prev != FIRST_PREV:
            what = "line 1 carries the sha256 of a line before it"
        if what:
            return line.fault(what)
        if last is None:
            self.first = line
        elif line.prev != last.sha256:
            self._odd = last, line
        self.last = line
        return None

    def _check_words(self, line: Line) -> Fault | None:
        record = line.record
        kind, event = record.get("kind"), record.get("event")
        if kind == "gap":
            self.gaps.append(line)
        elif kind == "chain" and event == "dropped":
            self._dropped[_number(record.get("last"))] = str(record.get("last_sha256", ""))
        elif kind == "chain" and self._machine and record.get("machine") not in ("", self._machine):
            return line.fault(f"this is the trail of machine {record.get('machine')}, not of {self._machine}")
        return None

    def _check_end(self, head: Head | None) -> Fault | None:
        if self._torn:
            return self._torn[0].fault("the trail ends in the middle of a line, or with what is no line of it")
        last, seen = self.last, max(self._known, default=0)
        if last is None:
            return Fault("", 0, f"no line is left of {max(seen, head.sequence if head else 0)}")
        what = ""
        ends = f"the trail ends with line {last.sequence}"
        if last.sequence < seen:
            what = f"{ends}, but line {seen} was collected before: it has been cut"
        elif head is not None and last.sequence < head.sequence:
            what = f"{ends}, but the agent has written up to line {head.sequence}: it has been cut"
        elif head is not None and last.sequence > head.sequence:
            what = f"{ends}, but the agent has written only up to line {head.sequence}"
        elif head is not None and last.sha256 != head.sha256:
            what = f"line {last.sequence} is not what was written there: it has been changed"
        return last.fault(what) if what else None

    def _check_begin(self) -> Fault | None:
        first = self.first
        if first is None or first.sequence == 1 or self._dropped.get(first.sequence - 1) == first.prev:
            return None
        return first.fault(f"the {first.sequence - 1} lines before are gone, and no line says that they were dropped")


def parse(raw: bytes) -> Record:
    """Return the line's fields; none where it is not a JSON object."""
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _due_first(line: Line) -> int:
    """Return the number that a trail's first line must have: the file is called after its first line."""
    named = _NAME.search(line.file)
    return int(named[1]) if named and line.number == 1 else line.sequence


def _number(value: object) -> int:
    # A bool is an int to Python, and True would be line 1.
    return value if type(value) is int and value > 0 else 0
