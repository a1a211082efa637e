"""Which answers of a run hold for another input: items are matched by their bytes and which occurrence of these it is.

In a database on disk: both inputs may have millions of items.
"""

import collections.abc
import pathlib
import sqlite3
import typing

from tasks.work.items import Spool, digest
from tasks.work.journal import Fold, records
from tasks.work.states import State

_BATCH = 1000
_NAMES = {State.OK: "ok", State.FAILED: "failed", State.QUARANTINED: "quarantined"}
_MATCHED = """
    SELECT n.place, o.place, o.attempt, o.state, o.offset, o.length FROM
        (SELECT digest, place, row_number() OVER (PARTITION BY digest ORDER BY place) AS occurrence FROM new) n
    JOIN
        (SELECT *, row_number() OVER (PARTITION BY digest ORDER BY place) AS occurrence FROM old) o
    USING (digest, occurrence) ORDER BY n.place
"""


class Carried(typing.NamedTuple):
    """An answered item of the old input, and where it is in the new one."""

    place: int
    before: int
    attempt: int
    state: str
    offset: int
    length: int


def carry(journal: pathlib.Path, fold: Fold, spool: Spool, folder: pathlib.Path) -> collections.abc.Iterator[Carried]:
    """Yield the items of `spool` that have their answer already; `folder` is for a temporary file."""
    path = folder / "carry.sqlite"
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path, isolation_level=None)
    try:
        # A temporary file: nothing of it need survive a crash.
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("BEGIN")
        database.execute(
            "CREATE TABLE old"
            " (place INTEGER PRIMARY KEY, digest TEXT, attempt INTEGER, state TEXT, offset INTEGER, length INTEGER)"
        )
        database.execute("CREATE TABLE new (place INTEGER PRIMARY KEY, digest TEXT)")
        database.executemany("INSERT OR REPLACE INTO old VALUES (?, ?, ?, ?, ?, ?)", _answered(journal, fold))
        database.executemany("INSERT INTO new VALUES (?, ?)", _items(spool))
        for row in database.execute(_MATCHED):
            yield Carried(*row)
    finally:
        database.close()
        path.unlink(missing_ok=True)


def _answered(journal: pathlib.Path, fold: Fold) -> collections.abc.Iterator[tuple[int, str, int, str, int, int]]:
    """Read the digests of the items that the journal's latest input has answers for."""
    generation = coming = 1
    for record in records(journal):
        match record.get("event"):
            case "input":
                coming = record["generation"]
            case "ready":
                generation = record["generation"]
        # Carried items come before their input is in force.
        if (coming if record.get("event") == "carried" else generation) != fold.generation:
            continue
        for index, name, output in _digests(record):
            if index < len(fold.states) and (state := _NAMES.get(State(fold.states[index]))):
                yield index, name, fold.attempts[index], state, *output


def _digests(record: dict[str, typing.Any]) -> collections.abc.Iterator[tuple[int, str, tuple[int, int]]]:
    if record.get("state") in _NAMES.values():
        offset, length = record.get("stdout", (0, 0))
        yield record["index"], record["item"], (offset, length)
    elif record.get("event") == "carried":
        # The journal names carried items by their digest too: the lines of the old input have other indexes.
        for (index, *_), name, (offset, length) in zip(
            record["items"], record["digests"], record["stdout"], strict=True
        ):
            yield index, name, (offset, length)


def _items(spool: Spool) -> collections.abc.Iterator[tuple[int, str]]:
    position = 0
    while position < spool.count:
        for item in spool.read(position, min(_BATCH, spool.count - position)):
            yield position, digest(item)
            position += 1


def batches(
    carried: collections.abc.Iterable[Carried], spool: Spool
) -> collections.abc.Iterator[dict[str, typing.Any]]:
    """Write them as events for the journal."""
    batch: list[Carried] = []
    for entry in carried:
        batch.append(entry)
        if len(batch) == _BATCH:
            yield _event(batch, spool)
            batch = []
    if batch:
        yield _event(batch, spool)


def _event(batch: list[Carried], spool: Spool) -> dict[str, typing.Any]:
    return {
        "items": [entry[:4] for entry in batch],
        "digests": [digest(spool.read(entry.place, 1)[0]) for entry in batch],
        "stdout": [entry[4:] for entry in batch],
    }
