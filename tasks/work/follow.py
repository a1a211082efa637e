"""Watch a run that another process drives: by the lines that it appends to the journal."""

import collections.abc
import json
import sys
import time
import typing

from tasks.work.failures import Failures
from tasks.work.journal import Attempt, Fold
from tasks.work.results import ResultStore, Stored
from tasks.work.run_folder import RunFolder
from tasks.work.run_report import folded

EVERY_S = 1.0
READ_S = 0.2
_ANSWERS = ("ok", "failed", "quarantined")


def follow(folder: RunFolder, *, as_json: bool = False) -> int:
    """Print the items' outputs and how far it is until its controller has ended; return the exit code for its end."""
    follower = _Follower(folder, as_json=as_json)
    with folder.journal.open("rb") as journal:
        while True:
            alive = bool(folder.driver())
            for line in _whole_lines(journal):
                follower.take(json.loads(line))
            if follower.ended or not alive:
                return follower.end()
            follower.progress()
            time.sleep(READ_S)


def _whole_lines(journal: typing.BinaryIO) -> collections.abc.Iterator[bytes]:
    while line := journal.readline():
        if not line.endswith(b"\n"):
            journal.seek(-len(line), 1)
            return
        yield line


class _Follower:
    """What the journal has said so far."""

    def __init__(self, folder: RunFolder, *, as_json: bool) -> None:
        self.ended = False
        self._folder = folder
        self._as_json = as_json
        self._fold = Fold()
        self._total = 0
        self._store = ResultStore(folder.path)
        self._quiet = folder.options().quiet_stdout
        self._failures = Failures()
        self._next_s = 0.0

    def take(self, record: dict[str, typing.Any]) -> None:
        """Take one line."""
        self._fold.add(record)
        self._failures.note(record)
        match record.get("event"):
            case "spooled" | "input":
                self._total = record["items"]
            case "session":
                self.ended = False
            case "ledger":
                self.ended = True
            case None if record["state"] in _ANSWERS:
                self._show(Attempt.from_record(record), record)

    def progress(self) -> None:
        """Say how far it is, when it is time."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + EVERY_S
        ledger = folded(self._fold, self._total)
        bad = ledger.failed + ledger.quarantined
        if self._as_json:
            self._line({"event": "progress", "done": ledger.done, "total": ledger.total, "failed": bad})
        else:
            sys.stderr.write(f"gaxx: {ledger.done}/{ledger.total} done, {bad} failed\n")

    def end(self) -> int:
        """Say how it ended, and return the exit code for that."""
        ledger = folded(self._fold, self._total)
        self._store.close()
        if self._as_json:
            self._line({"event": "ledger", "run": self._folder.id, **ledger.as_dict()})
        else:
            for line in (*self._failures.sentences(self._folder.id), f"run {self._folder.id}: {ledger}"):
                sys.stderr.write(f"gaxx: {line}\n")
        if not self.ended or ledger.skipped:
            return 5
        return 3 if ledger.failed or ledger.quarantined else 0

    def _show(self, attempt: Attempt, record: dict[str, typing.Any]) -> None:
        if self._as_json:
            self._line({"event": "item", "run": self._folder.id, **record})
            return
        self._failures.take(attempt, attempt.error)
        for name, output, file in (
            ("stdout", attempt.stdout, sys.stdout.buffer), ("stderr", attempt.stderr, sys.stderr.buffer),
        ):  # fmt: skip
            if output[1] and not (self._quiet and name == "stdout"):
                file.write(self._store.read(Stored(*output), f"{attempt.index}.{attempt.attempt}.{name}"))
                file.flush()

    def _line(self, event: dict[str, typing.Any]) -> None:
        sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
        sys.stdout.flush()
