"""One item's whole timeline: every attempt, every node, every decision, in the order in which it was journalled."""

import os
import time
import typing

from components.errors import GaxxError
from tasks.outcome import signal_name
from tasks.work.items import Spool, digest
from tasks.work.journal import Attempt, Fold, records
from tasks.work.results import ResultStore, Stored
from tasks.work.run_folder import RunFolder

SHOWN_BYTES = 2000
_MEANING = {
    "ok": "accepted",
    "failed": "failed: out of attempts",
    "quarantined": "quarantined: it failed on two different nodes",
    "retry": "failed, to be tried again",
    "requeued": "back in the queue, not the item's fault",
    "duplicate": "came too late: the item had its answer",
}


def explain(folder: RunFolder, item: bytes) -> list[dict[str, typing.Any]]:
    """Return the timeline of an item, named by its number (from 1) or its bytes; raise GaxxError."""
    manifest, options = folder.read_manifest(), folder.options()
    fold = Fold.of(folder.journal)
    spool = Spool.reopen(folder.path / f"input.{fold.generation}", delimiter=options.delimiter, chunk=options.chunk)
    index = _find(spool, item)
    value = spool.read(index, 1)[0]
    command = [os.fsdecode(part) for part in options.template.command(value, index)]
    begun = {"git": manifest["provenance"].get("git"), "stack": manifest["stack"], "command": command}
    steps = [
        _step(manifest["created"], f"item {index + 1} is {value[:200]!r}, sha256 {digest(value)}…", index=index),
        _step(manifest["created"], f"command: {command}", **begun),
    ]
    store = ResultStore(folder.path)
    for record in records(folder.journal):
        match record.get("event"):
            case None if record["index"] == index:
                steps += _attempt(Attempt.from_record(record), store)
            case "session":
                steps.append(_step(record["time"], f"session {record['number']} with {len(record['nodes'])} nodes"))
            case "cordon" | "reopen" if index in record["reopened"]:
                why = f"{record['node']} was cordoned: its failure there is forgiven"
                steps.append(_step(None, f"to be tried again ({why if 'node' in record else 'asked for'})"))
            case "given-up" if record["index"] == index:
                steps.append(_step(None, "given up: too many nodes were lost under it"))
            case "carried":
                steps += [
                    _step(None, f"{state} as item {before + 1} of an earlier input")
                    for place, before, _, state in record["items"]
                    if place == index
                ]
            case "ledger":
                reason = f": {record['reason']}" if record["reason"] else ""
                steps.append(_step(record["time"], f"the session ends{reason}"))
    store.close()
    spool.close()
    return steps


def _find(spool: Spool, item: bytes) -> int:
    if item.isdigit() and 0 < int(item) <= spool.count:
        return int(item) - 1
    position = 0
    while position < spool.count:
        for value in spool.read(position, spool.count - position):
            if value == item:
                return position
            position += 1
    message = f"no item {os.fsdecode(item)!r} in the run"
    raise GaxxError(message, hint=f"its items are numbered 1 to {spool.count}")


def _attempt(attempt: Attempt, store: ResultStore) -> list[dict[str, typing.Any]]:
    how = {
        "exited": f"exit {attempt.exit}",
        "signaled": f"killed by {signal_name(attempt.signal)}",
        "timeout": "timed out",
        "cancelled": "called off",
        "lost": "lost with its node or runner",
        "spawn-failed": "could not be started",
        "bad-files": "its files could not be had",
    }.get(attempt.kind, attempt.kind)
    error = f" ({attempt.error})" if attempt.error else ""
    fields = {"attempt": attempt.attempt, "node": attempt.node, "class": attempt.kind, "state": attempt.state}
    seconds = attempt.end - attempt.start
    ended = f"{how}{error} after {seconds:.3f} s: {_MEANING.get(attempt.state, attempt.state)}"
    steps = [
        _step(attempt.start, f"attempt {attempt.attempt} starts on {attempt.node} (lease {attempt.lease})", **fields),
        _step(attempt.end, ended, **fields),
    ]
    for name, (offset, length) in (("stdout", attempt.stdout), ("stderr", attempt.stderr)):
        if length:
            stored = Stored(offset, min(length, SHOWN_BYTES))
            text = store.read(stored, f"{attempt.index}.{attempt.attempt}.{name}")[:SHOWN_BYTES]
            steps.append(_step(attempt.end, f"{name} ({length} bytes): {text.decode(errors='replace')!r}"))
    for path, size, sha256 in attempt.files:
        steps.append(_step(attempt.end, f"returned {path}, {size} bytes, sha256 {sha256[:16]}…"))
    return steps


def _step(unix_s: float | None, text: str, **fields: typing.Any) -> dict[str, typing.Any]:
    shown = time.strftime("%H:%M:%S", time.localtime(unix_s)) + f".{int(unix_s % 1 * 1000):03}" if unix_s else " " * 12
    return {"event": "step", "time": shown, "unix_s": unix_s, "text": text, **fields}
