"""Two runs compared item by item, by the items' bytes: the inputs need not be the same. In a database on disk."""

import dataclasses
import pathlib
import sqlite3
import tempfile
import typing

from tasks.work.journal import records
from tasks.work.run_folder import RunFolder

EXAMPLES = 10
_ANSWERS = ("ok", "failed", "quarantined")
_PAIRED = """
    WITH a AS (SELECT *, row_number() OVER (PARTITION BY digest ORDER BY place) AS occurrence FROM before),
         b AS (SELECT *, row_number() OVER (PARTITION BY digest ORDER BY place) AS occurrence FROM after)
"""
_BOTH = "FROM a JOIN b USING (digest, occurrence) WHERE"
_QUERIES = (
    ("newly_failing", "newly failing", f"{_BOTH} a.state = 'ok' AND b.state != 'ok'", "b"),
    ("newly_passing", "newly passing", f"{_BOTH} a.state != 'ok' AND b.state = 'ok'", "b"),
    ("output_changed", "other output", f"{_BOTH} a.state = 'ok' AND b.state = 'ok' AND a.out != b.out", "b"),
    (
        "gone", "only before",
        "FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE a.digest = b.digest AND a.occurrence = b.occurrence)", "a",
    ),
    (
        "new", "only after",
        "FROM b WHERE NOT EXISTS (SELECT 1 FROM a WHERE a.digest = b.digest AND a.occurrence = b.occurrence)", "b",
    ),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Items that differ in one way; `examples` are their numbers, in the later run where they are in it."""

    name: str
    title: str
    count: int
    examples: tuple[str, ...]

    def as_dict(self) -> dict[str, typing.Any]:
        """For programs."""
        return {"count": self.count, "examples": [int(example) for example in self.examples]}


def diff(before: RunFolder, after: RunFolder) -> list[Group]:
    """Compare the items that have answers; raise GaxxError when a journal cannot be read."""
    with tempfile.TemporaryDirectory() as folder:
        database = sqlite3.connect(pathlib.Path(folder) / "diff.sqlite", isolation_level=None)
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("BEGIN")
        for table, run in (("before", before), ("after", after)):
            # The names are ours; SQL has no parameters for them.
            database.execute(f"CREATE TABLE {table} (place INTEGER PRIMARY KEY, digest TEXT, state TEXT, out TEXT)")
            database.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?)", _answers(run))  # noqa: S608
        groups = []
        for name, title, where, side in _QUERIES:
            (count,) = database.execute(f"{_PAIRED} SELECT count(*) {where}").fetchone()
            query = f"{_PAIRED} SELECT {side}.place + 1 {where} ORDER BY 1 LIMIT {EXAMPLES}"
            examples = tuple(str(place) for (place,) in database.execute(query))
            groups.append(Group(name, title, count, examples))
        database.close()
    return groups


def _answers(run: RunFolder) -> typing.Iterator[tuple[int, str, str, str]]:
    for record in records(run.journal):
        if record.get("state") in _ANSWERS and "item" in record:
            yield record["index"], record["item"], record["state"], record.get("out", "")
