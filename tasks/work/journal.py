"""The append-only record of a run: JSON lines, one an attempt, on disk before any node may forget the result.

Killed at any byte it folds back to the truth: a torn last line never happened (its result was never acknowledged, so
the node still has it), and of two lines that answer the same item the first counts.
"""

import collections.abc
import contextlib
import dataclasses
import json
import os
import pathlib
import typing

from components.errors import Refused
from tasks.work.errors import JournalError
from tasks.work.states import State

VERSION = 1
_BLOCK_BYTES = 1 << 16
_TERMINAL = {"ok": State.OK, "failed": State.FAILED, "quarantined": State.QUARANTINED}


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """One line: one attempt of an item on a node, and what it made of the item."""

    item: str
    index: int
    attempt: int
    node: str
    lease: int
    start: float
    """Unix time, by the node's clock, as `end`."""
    end: float
    kind: str
    """exited, signaled, timeout, spawn-failed, lost, cancelled, bad-files."""
    state: str
    """ok, failed, quarantined: the item's answer; retry, requeued: it goes on; duplicate: it had its answer."""
    exit: int = 0
    signal: int = 0
    error: str = ""
    stdout: tuple[int, int] = (0, 0)
    """Offset in the run's outputs and length; more than was kept when `cut`."""
    stderr: tuple[int, int] = (0, 0)
    out: str = ""
    """sha256 of stdout, shortened; empty when there was none."""
    cut: bool = False
    files: tuple[tuple[str, int, str], ...] = ()
    """Path, size and sha256 of each returned file."""

    def line(self) -> str:
        """Write it, what is empty left out."""
        head = (
            f'{{"index":{self.index},"item":"{self.item}","attempt":{self.attempt},"node":{json.dumps(self.node)},'
            f'"lease":{self.lease},"start":{self.start:.6f},"end":{self.end:.6f},"class":"{self.kind}",'
            f'"state":"{self.state}","exit":{self.exit}'
        )
        rest: list[str] = []
        if self.signal:
            rest.append(f',"signal":{self.signal}')
        if self.error:
            rest.append(f',"error":{json.dumps(self.error)}')
        if self.stdout[1]:
            rest.append(f',"stdout":[{self.stdout[0]},{self.stdout[1]}],"out":"{self.out}"')
        if self.stderr[1]:
            rest.append(f',"stderr":[{self.stderr[0]},{self.stderr[1]}]')
        if self.cut:
            rest.append(',"cut":true')
        if self.files:
            rest.append(f',"files":{json.dumps(self.files)}')
        return f"{head}{''.join(rest)}}}\n"

    @classmethod
    def from_record(cls, record: dict[str, typing.Any]) -> "Attempt":
        """Read a line back; raise KeyError, TypeError or ValueError when it is none."""
        stdout, stderr = record.get("stdout", (0, 0)), record.get("stderr", (0, 0))
        return cls(
            item=record["item"],
            index=record["index"],
            attempt=record["attempt"],
            node=record["node"],
            lease=record["lease"],
            start=record["start"],
            end=record["end"],
            kind=record["class"],
            state=record["state"],
            exit=record.get("exit", 0),
            signal=record.get("signal", 0),
            error=record.get("error", ""),
            stdout=(stdout[0], stdout[1]),
            stderr=(stderr[0], stderr[1]),
            out=record.get("out", ""),
            cut=record.get("cut", False),
            files=tuple((path, size, sha256) for path, size, sha256 in record.get("files", ())),
        )


class Journal:
    """The journal of a run, open for appending by the one controller that drives the run."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            message = f"{path}: {error.strerror}"
            raise JournalError(message) from error
        self._size = _whole_lines(self._descriptor)
        os.ftruncate(self._descriptor, self._size)

    def append(self, text: str) -> None:
        """Append whole lines; raise JournalError with nothing appended."""
        data = text.encode()
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError as error:
            # What is there of the batch is whole lines, which hold all the same, and a torn one, which must go.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            message = f"the journal cannot be written: {self.path}: {error.strerror}"
            raise JournalError(message, hint="nothing is lost: free some space, then go on with --resume") from error
        self._size += len(data)

    def event(self, name: str, **fields: object) -> None:
        """Append one line that is no attempt: a session begins, a node is cordoned, the ledger."""
        self.append(json.dumps({"event": name, **fields}, separators=(",", ":")) + "\n")

    def sync(self) -> None:
        """Have it on disk; raise JournalError."""
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            message = f"the journal cannot be written: {self.path}: {error.strerror}"
            raise JournalError(message, hint="go on with --resume") from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _whole_lines(descriptor: int) -> int:
    """Return where the last whole line ends."""
    size = os.fstat(descriptor).st_size
    while size:
        start = max(size - _BLOCK_BYTES, 0)
        newline = os.pread(descriptor, size - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        size = start
    return 0


def records(path: pathlib.Path) -> collections.abc.Iterator[dict[str, typing.Any]]:
    """Read the whole lines of a journal; raise JournalError when there is none or it is of something else."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                try:
                    record = json.loads(line)
                except ValueError as error:
                    message = f"{path}:{number}: not a line of a journal: {error}"
                    raise JournalError(message) from error
                if not isinstance(record, dict):
                    message = f"{path}:{number}: not a line of a journal"
                    raise JournalError(message)
                yield record
    except FileNotFoundError as error:
        message = f"no journal {path}"
        raise JournalError(message) from error
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise JournalError(message) from error


def header(path: pathlib.Path) -> dict[str, typing.Any]:
    """Return the first line, which says what run it is; raise JournalError."""
    first = next(records(path), None)
    if first is None or first.get("event") != "run":
        message = f"{path} does not begin like a journal of gaxx"
        raise JournalError(message)
    if first.get("version") != VERSION:
        message = f"{path} has version {first.get('version')!r}; this gaxx reads version {VERSION}"
        raise Refused(message)
    return first


class Fold:
    """What a journal says of each item: the state of a run, from its lines alone, two bytes an item."""

    def __init__(self) -> None:
        self.states = bytearray()
        self.attempts = bytearray()
        self.failed_on: dict[int, list[str]] = {}
        """Of items that have failed and yet have no answer."""
        self.lines = 0
        self.generation = 1
        """Which input the indexes are positions in: a resumed run may have got another one."""
        self.sha256 = ""
        """Of that input; empty while it was not known to be whole."""
        self._next: Fold | None = None

    @classmethod
    def of(cls, path: pathlib.Path) -> "Fold":
        """Fold a whole journal; raise JournalError."""
        fold = cls()
        for record in records(path):
            fold.add(record)
        return fold

    def add(self, record: dict[str, typing.Any]) -> None:
        """Take one more line into account; raise JournalError when it makes no sense."""
        try:
            if "event" in record:
                self._event(record)
            else:
                self._attempt(record["index"], record["attempt"], record["state"], record["node"])
        except (KeyError, TypeError, ValueError) as error:
            message = f"a line of the journal makes no sense: {record}"
            raise JournalError(message) from error
        self.lines += 1

    def _attempt(self, index: int, attempt: int, state: str, node: str) -> None:
        if index >= len(self.states):
            more = index + 1 - len(self.states)
            self.states.extend(bytes(more))
            self.attempts.extend(bytes(more))
        self.attempts[index] = max(self.attempts[index], attempt)
        if self.states[index] != State.PENDING:
            return
        answer = _TERMINAL.get(state)
        if answer is not None:
            self.states[index] = answer
            self.failed_on.pop(index, None)
        elif state == "retry":
            self.failed_on.setdefault(index, []).append(node)

    def _event(self, record: dict[str, typing.Any]) -> None:
        match record["event"]:
            case "given-up":
                self._attempt(record["index"], 0, "failed", "")
            case "cordon" | "reopen":
                self._reopen(record["reopened"], record.get("node"))
            case "spooled":
                self.sha256 = record["sha256"]
            case "input":
                self._next = Fold()
                self._next.generation = record["generation"]
            case "carried" if self._next is not None:
                for index, _, attempt, state in record["items"]:
                    self._next._attempt(index, attempt, state, "")  # noqa: SLF001 - one of us
            case "ready" if self._next is not None:
                # Only now: a controller that died in between has changed nothing.
                self.states, self.attempts, self.failed_on = self._next.states, self._next.attempts, {}
                self.generation, self.sha256 = self._next.generation, ""
                self._next = None

    def _reopen(self, reopened: collections.abc.Iterable[int], node: str | None) -> None:
        for index in reopened:
            if self.states[index] in (State.FAILED, State.QUARANTINED):
                self.states[index] = State.PENDING
        for index in [index for index, names in self.failed_on.items() if node in names]:
            left = [name for name in self.failed_on[index] if name != node]
            if left:
                self.failed_on[index] = left
            else:
                del self.failed_on[index]
