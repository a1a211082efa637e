"""The audit trail on disk: JSON lines in files of bounded size, each line with the sha256 of the one before it.

    audit/000000000001.jsonl      named by the number of its first line
    audit/000000031337.jsonl      the chain goes on across files; the oldest are dropped, and a line says so

    {"seq":7,"time":"…Z","kind":"…", …, "prev":"<sha256 of line 6, without its newline>"}

Lines are only ever appended. What a kill has torn stays, ends with a newline, and the next line accounts for it.
Not for several threads at once.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from agent.audit.lines import Entry, Kind, Record, stamp
from agent.audit.snapshot import Head, Snapshot

FILE_LIMIT_BYTES = 8 * 1024 * 1024
KEPT_FILES = 8
UNWRITTEN_LIMIT_BYTES = 8 * 1024 * 1024
"""Of lines that wait for room on the disk; what comes then is counted only."""
SYNC_EVERY_S = 1.0
"""A line is on the disk so long after it was written, at most: what a power cut can cost."""
FIRST_PREV = "0" * 64
"""What the first line carries in place of a sha256."""

_NAME = re.compile(r"[0-9]{12}\.jsonl")


class Files:
    """Writes one node's trail. `fault` says why lines wait; empty while the disk takes them."""

    def __init__(self, folder: Path, *, limit_bytes: int = FILE_LIMIT_BYTES, kept: int = KEPT_FILES) -> None:
        self.folder = folder
        self.fault = ""
        self.head = Head(0, FIRST_PREV)
        self._limit_bytes = limit_bytes
        self._kept = kept
        self._descriptor = -1
        self._lock = -1
        self._size_bytes = 0
        self._unwritten = bytearray()
        self._uncounted = 0
        self._dirty_since_s: float | None = None
        self._whose: dict[str, object] = {}

    @property
    def names(self) -> list[str]:
        """The files that are there, oldest first."""
        return sorted(path.name for path in self.folder.iterdir() if _NAME.fullmatch(path.name))

    def open(self, *, node: str, machine: str) -> None:
        """Go on with the trail, or begin one. Raises OSError, BlockingIOError when another process writes it."""
        self._whose = {"node": node, "machine": machine}
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        names = self.names
        if not names:
            self._new_file()
            self._begin()
            self._drain()
            return
        self._append_to(names[-1])
        whole, torn, is_ended = _last_lines(self.folder, names)
        self.head = whole
        if not is_ended:
            self._unwritten += b"\n"
        if torn and _continues(torn[-1], whole):
            # All of the line came to the disk but its newline; what is torn before it, it accounts for.
            self.head = Head(whole.sequence + 1, hashlib.sha256(torn[-1]).hexdigest())
        elif torn:
            digests = [hashlib.sha256(line).hexdigest() for line in torn]
            self._say("gap", why="torn", torn_bytes=sum(map(len, torn)), torn_sha256=digests, **self._whose)
        if not self.head.sequence:
            # The file was made, and then nothing came.
            self._begin()
        self._drain()

    def append(self, entries: Iterable[Entry]) -> None:
        """Write lines. What the disk does not take waits, within a limit; `fault` says so."""
        if len(self._unwritten) > UNWRITTEN_LIMIT_BYTES:
            self._uncounted += sum(1 for entry in entries for _ in entry.bodies())
            self._drain()
            return
        if self._uncounted:
            lost, self._uncounted = self._uncounted, 0
            self._say("gap", why=f"could not be written: {self.fault or 'no room'}", lines=lost)
        for entry in entries:
            self._add(entry)
        self._drain()
        if self._size_bytes >= self._limit_bytes and not self._unwritten:
            self._rotate()

    def sync(self) -> None:
        """Have everything on the disk. Raises OSError when that cannot be."""
        self._drain()
        if self._unwritten:
            raise OSError(self.fault)
        self._sync()

    def _sync(self) -> None:
        os.fsync(self._descriptor)
        self._dirty_since_s = None

    def sync_when_due(self) -> float | None:
        """Have it on the disk once a line has waited for SYNC_EVERY_S; return in how many seconds to ask again."""
        if self._unwritten:
            return SYNC_EVERY_S
        if self._dirty_since_s is None:
            return None
        left_s = self._dirty_since_s + SYNC_EVERY_S - time.monotonic()
        if left_s > 0:
            return left_s
        self._sync()
        return None

    def snapshot(self, sequence: int) -> Snapshot:
        """Return the head, and the lines from `sequence` on as they lie on the disk now. Raises OSError."""
        self.sync()
        return Snapshot(self.folder, self.names, self.head, sequence)

    def close(self) -> None:
        """Write what waits, and let another process go on."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                self.sync()
            os.close(self._descriptor)
        if self._lock >= 0:
            os.close(self._lock)
        self._descriptor = self._lock = -1

    def _begin(self) -> None:
        self._say("chain", event="begin", start=stamp(time.time()), **self._whose)

    def _say(self, kind: Kind, **fields: object) -> None:
        self._add(Record(time.time(), kind, fields))

    def _add(self, entry: Entry) -> None:
        sequence, prev = self.head
        when = stamp(entry.unix_s)
        for body in entry.bodies():
            sequence += 1
            line = f'{{"seq":{sequence},"time":"{when}",{body},"prev":"{prev}"}}'.encode()
            prev = hashlib.sha256(line).hexdigest()
            self._unwritten += line
            self._unwritten += b"\n"
        self.head = Head(sequence, prev)

    def _drain(self) -> None:
        try:
            while self._unwritten:
                written = os.write(self._descriptor, self._unwritten)
                if self._dirty_since_s is None:
                    self._dirty_since_s = time.monotonic()
                self._size_bytes += written
                del self._unwritten[:written]
        except OSError as fault:
            self.fault = fault.strerror or str(fault)
        else:
            self.fault = ""

    def _new_file(self) -> str:
        name = f"{self.head.sequence + 1:012}.jsonl"
        self._append_to(name, os.O_CREAT | os.O_EXCL)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return name

    def _append_to(self, name: str, flags: int = 0) -> None:
        if self._descriptor >= 0:
            os.fsync(self._descriptor)
            os.close(self._descriptor)
        self._descriptor = os.open(self.folder / name, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | flags, 0o600)
        self._size_bytes = os.fstat(self._descriptor).st_size

    def _rotate(self) -> None:
        """Begin a new file; drop the oldest, after a line has said which lines went with it."""
        try:
            before, after = self.names[-1], self._new_file()
        except OSError as fault:
            # The file that is open grows on; the next batch tries again.
            self.fault = fault.strerror or str(fault)
            return
        self._say("chain", event="continue", after=before, **self._whose)
        names = self.names
        for index, name in enumerate(names[: -self._kept]):
            last = int(names[index + 1][:12]) - 1
            self._say(
                "chain", event="dropped", file=name, first=int(name[:12]), last=last, last_sha256=self._prev(last)
            )
        self._drain()
        if not self._unwritten:
            for name in names[: -self._kept]:
                if name != after:
                    (self.folder / name).unlink(missing_ok=True)

    def _prev(self, sequence: int) -> str:
        """Return the sha256 of a line that ends its file: the next file's first line carries it."""
        with (self.folder / f"{sequence + 1:012}.jsonl").open("rb") as file:
            carried = _parsed(file.readline().rstrip(b"\n"))
        return str(carried.get("prev", ""))


def _last_lines(folder: Path, names: list[str]) -> tuple[Head, list[bytes], bool]:
    """Return the last line that can be read, what stands behind it, and whether that ends with a newline."""
    torn: list[bytes] = []
    is_ended = True
    for name in reversed(names):
        *lines, tail = (folder / name).read_bytes().split(b"\n")
        if tail:
            lines.append(tail)
            is_ended = False
        for line in reversed(lines):
            sequence = _parsed(line).get("seq")
            if isinstance(sequence, int) and (line is not tail or not tail):
                return Head(sequence, hashlib.sha256(line).hexdigest()), torn, is_ended
            torn.insert(0, line)
    return Head(0, FIRST_PREV), torn, is_ended


def _continues(line: bytes, head: Head) -> bool:
    record = _parsed(line)
    return record.get("seq") == head.sequence + 1 and record.get("prev") == head.sha256


def _parsed(line: bytes) -> dict[str, object]:
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
