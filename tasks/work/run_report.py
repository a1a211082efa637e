"""What became of a run, from its folder alone: ledger, slowest items, failures folded by equal stderr.

The journal is read once, in constant memory: the slowest few, and one example a kind of failure.
"""

import collections
import dataclasses
import heapq
import os
import shlex
import time
import typing

from components.errors import GaxxError
from tasks.work.failures import Failures
from tasks.work.journal import Attempt, Fold, records
from tasks.work.ledger import Ledger
from tasks.work.results import ResultStore, Stored
from tasks.work.run_folder import RunFolder, all_runs
from tasks.work.states import State

SLOWEST = 5
STDERR_BYTES = 4096


class RunReport:
    """One run, read from its journal; raise GaxxError when that cannot be read."""

    def __init__(self, folder: RunFolder) -> None:
        self.id = folder.id
        manifest = folder.read_manifest()
        options = folder.options()
        self.command = shlex.join(os.fsdecode(part) for part in options.argv)
        self.manifest = manifest
        self.slowest: list[tuple[int, float, str]] = []
        self.sessions = 0
        self.total = 0
        self._fold = Fold()
        self._slow: list[tuple[float, int, str]] = []
        self._failures = Failures()
        self._store = ResultStore(folder.path)
        ended = self._read(folder)
        self._store.close()
        self.slowest = [(index, seconds, node) for seconds, index, node in sorted(self._slow, reverse=True)]
        self.failures = self._failures.folds
        self.ledger = self._ledger(ended)
        self.state = state_of(folder, self.ledger, ended)

    @property
    def provenance(self) -> list[str]:
        """Where the run comes from, for a person."""
        origin = self.manifest["provenance"]
        git = origin.get("git")
        made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.manifest["created"]))
        lines = [f"begun {made} by {origin['user']} at {origin['controller']}, {self.sessions} session(s)"]
        stack = self.manifest["stack"]
        version = origin.get("update") or "unknown"
        lines.append(f"stack {stack['project']}/{stack['name']}, update {version}")
        if git:
            lines.append(f"commit {git['commit'][:12]}{' with changes' if git['dirty'] else ''}")
        builds = sorted({node["build"][:12] for node in origin["nodes"]})
        images = sorted({node["image"] for node in origin["nodes"] if node["image"]})
        image = f"; image {', '.join(images)}" if images else ""
        lines.append(f"{len(origin['nodes'])} nodes, agent {', '.join(builds)}{image}")
        return lines

    def as_dict(self) -> dict[str, typing.Any]:
        """The report for programs."""
        return {
            "event": "run",
            "run": self.id,
            "state": self.state,
            "ledger": self.ledger.as_dict(),
            "sessions": self.sessions,
            "slowest": [{"index": index, "wall_s": wall_s, "node": node} for index, wall_s, node in self.slowest],
            "failures": [fold.as_dict() for fold in self.failures],
            "manifest": self.manifest,
        }

    def _read(self, folder: RunFolder) -> dict[str, typing.Any] | None:
        ended = None
        for record in records(folder.journal):
            self._fold.add(record)
            self._failures.note(record)
            match record.get("event"):
                case None:
                    self._attempt(Attempt.from_record(record))
                case "session":
                    self.sessions += 1
                    ended = None
                case "spooled" | "input":
                    self.total = record["items"]
                case "ledger":
                    ended = record
        return ended

    def _attempt(self, attempt: Attempt) -> None:
        if attempt.state == "ok":
            heapq.heappush(self._slow, (attempt.end - attempt.start, attempt.index, attempt.node))
            if len(self._slow) > SLOWEST:
                heapq.heappop(self._slow)
        elif attempt.state in ("failed", "quarantined"):
            self._failures.take(attempt, attempt.error or self._stderr(attempt))

    def _stderr(self, attempt: Attempt) -> str:
        name = f"{attempt.index}.{attempt.attempt}.stderr"
        stored = Stored(attempt.stderr[0], min(attempt.stderr[1], STDERR_BYTES))
        try:
            return self._store.read(stored, name)[:STDERR_BYTES].decode(errors="replace")
        except OSError:
            return "(its stderr is gone)"

    def _ledger(self, ended: dict[str, typing.Any] | None) -> Ledger:
        if ended is not None:
            return Ledger(**{field.name: ended[field.name] for field in dataclasses.fields(Ledger)})
        return folded(self._fold, self.total)


def folded(fold: Fold, total: int) -> Ledger:
    """Sum up a journal whose controller left no last word; what has no answer is skipped."""
    counts = collections.Counter(fold.states)
    total = max(total, len(fold.states))
    ok, failed, quarantined = (counts[state] for state in (State.OK, State.FAILED, State.QUARANTINED))
    return Ledger(total, ok, failed, quarantined, skipped=total - ok - failed - quarantined)


def state_of(folder: RunFolder, ledger: Ledger, ended: dict[str, typing.Any] | None) -> str:
    """Say in a word or two how a run stands."""
    if folder.driver():
        return "running"
    if ended is None:
        return "interrupted"
    if ended.get("reason"):
        return str(ended["reason"])
    return "complete" if ledger.done == ledger.total else "unfinished"


def overview() -> list[dict[str, typing.Any]]:
    """Return one row a run, oldest first; a run that cannot be read says so in its row."""
    return [_row(folder) for folder in all_runs()]


def _row(folder: RunFolder) -> dict[str, typing.Any]:
    row: dict[str, typing.Any] = {
        "run": folder.id, "stack": "", "total": 0, "ok": 0, "bad": 0, "left": 0, "state": "", "command": "",
    }  # fmt: skip
    try:
        manifest = folder.read_manifest()
        row["stack"] = manifest["stack"]["name"]
        row["command"] = manifest["options"]["job"] or " ".join(manifest["options"]["argv"])
        ended, ledger = _last_word(folder)
        row.update(total=ledger.total, ok=ledger.ok, bad=ledger.failed + ledger.quarantined)
        row["left"] = ledger.total - ledger.done
        row["state"] = state_of(folder, ledger, ended)
    except (GaxxError, KeyError, TypeError) as error:
        row["state"] = f"damaged: {error}"
    return row


def _last_word(folder: RunFolder) -> tuple[dict[str, typing.Any] | None, Ledger]:
    """Read the ledger from the journal's end where the last session left one; else fold it whole."""
    import json

    with folder.journal.open("rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - 4096, 0))
        last = file.read().splitlines()[-1:] or [b"{}"]
    try:
        record = json.loads(last[0])
    except ValueError:
        record = {}
    if record.get("event") == "ledger":
        return record, Ledger(**{field.name: record[field.name] for field in dataclasses.fields(Ledger)})
    fold, total = Fold(), 0
    for line in records(folder.journal):
        fold.add(line)
        if line.get("event") in ("spooled", "input"):
            total = line["items"]
    return None, folded(fold, total)
