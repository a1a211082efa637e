"""What the collected trails say, for a person: filtered, in order of time, equal lines of all nodes folded."""

import dataclasses
import datetime as dt
import heapq
import re
from collections.abc import Iterable, Iterator

from components.errors import GaxxError
from tasks.audit.chain import Record
from tasks.audit.kept import Kept
from tasks.audit.sentences import sentence, who
from tasks.selection import fold_names

COLUMNS = ("time", "nodes", "who", "what", "times")
FOLD_S = 60.0
"""Equal lines fold while no more than this lies between one and the next."""
_AGO = re.compile(r"([0-9]+)([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines to show; what is empty filters nothing."""

    since: dt.datetime | None = None
    kinds: frozenset[str] = frozenset()
    principals: frozenset[str] = frozenset()

    def __contains__(self, record: Record) -> bool:
        """Whether a line is among them."""
        if self.kinds and str(record.get("kind")) not in self.kinds:
            return False
        if self.principals and who(record) not in self.principals:
            return False
        return self.since is None or _time(record) >= self.since


@dataclasses.dataclass(slots=True)
class Fold:
    """Equal lines of some nodes within a short time."""

    time: dt.datetime
    last: dt.datetime
    who: str
    what: str
    nodes: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def row(self) -> tuple[str, ...]:
        """Its cells of COLUMNS."""
        times = sum(self.nodes.values())
        at = f"{self.time:%Y-%m-%d %H:%M:%SZ}"
        return at, fold_names(self.nodes), self.who or "-", self.what, str(times)


def moment(text: str) -> dt.datetime:
    """Read 90s, 10m, 2h, 1d (ago), or an RFC 3339 time; UTC unless it says otherwise. Raise GaxxError."""
    ago = _AGO.fullmatch(text)
    if ago:
        return dt.datetime.now(dt.UTC) - dt.timedelta(seconds=int(ago[1]) * _UNIT_S[ago[2]])
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError as error:
        message = f"--since {text}: no time"
        raise GaxxError(message, hint="10m, 2h, 1d, or 2026-01-31T12:00:00Z") from error
    return when if when.tzinfo else when.replace(tzinfo=dt.UTC)


def records(kept: Iterable[tuple[str, Kept]], wanted: Wanted) -> Iterator[tuple[str, Record]]:
    """Yield the wanted lines with their nodes, in order of time."""
    since = f"{wanted.since.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S}" if wanted.since else ""

    def of(node: str, lines: Kept) -> Iterator[tuple[str, Record]]:
        return ((node, record) for record in lines.records(since) if record in wanted)

    # Trails are long, and each is in order already.
    yield from heapq.merge(*(of(node, lines) for node, lines in kept), key=lambda one: str(one[1].get("time", "")))


def folded(lines: Iterable[tuple[str, Record]]) -> list[Fold]:
    """Fold equal lines, by when the first of them was."""
    folds: list[Fold] = []
    latest: dict[tuple[str, str], Fold] = {}
    for node, record in lines:
        at, key = _time(record), (who(record), sentence(record))
        fold = latest.get(key)
        if fold is None or (at - fold.last).total_seconds() > FOLD_S:
            fold = latest[key] = Fold(at, at, *key)
            folds.append(fold)
        fold.last = max(fold.last, at)
        fold.nodes[node] = fold.nodes.get(node, 0) + 1
    return folds


def _time(record: Record) -> dt.datetime:
    try:
        when = dt.datetime.fromisoformat(str(record.get("time")))
    except ValueError:
        return dt.datetime.min.replace(tzinfo=dt.UTC)
    return when if when.tzinfo else when.replace(tzinfo=dt.UTC)
