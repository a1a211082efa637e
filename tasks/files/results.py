"""What became of each file on each node: counted per node, and every fault kept; nothing is lost in the sum."""

import collections
import collections.abc
import dataclasses
import enum

from tasks.selection import fold_names
from tasks.words import size


class State(enum.StrEnum):
    """What became of one file on one node, or of a node as a whole."""

    OK = "ok"
    """Of a node: everything that was asked for."""
    SENT = "sent"
    UNCHANGED = "unchanged"
    """The node had this content already: nothing was sent."""
    FETCHED = "fetched"
    REMOVED = "removed"
    FAILED = "failed"
    REFUSED = "refused"
    """A digest, a name, a link or an identity is not what it must be."""
    UNREACHABLE = "unreachable"
    LOST = "lost"
    CANCELLED = "cancelled"
    ERROR = "error"
    """Agent and controller do not understand each other."""


GOOD = frozenset({State.OK, State.SENT, State.UNCHANGED, State.FETCHED, State.REMOVED})
GONE = frozenset({State.UNREACHABLE, State.LOST})


class NodeFault(Exception):  # noqa: N818 - reads as what it is
    """Nothing more can be done on this node, at least on this way."""

    def __init__(self, state: State, text: str) -> None:
        super().__init__(text)
        self.state, self.text = state, text


class FileFault(Exception):  # noqa: N818 - reads as what it is
    """This one file could not be moved; others may be. `missing`: because it is not there."""

    def __init__(self, state: State, text: str, *, missing: bool = False) -> None:
        super().__init__(text)
        self.state, self.text, self.missing = state, text, missing


@dataclasses.dataclass(frozen=True, slots=True)
class FileResult:
    """One file on one node."""

    node: str
    path: str
    """On the node, as it was asked for."""
    state: State
    size_bytes: int = 0
    sha256: str = ""
    local: str = ""
    """Where it lies here."""
    error: str = ""

    def as_dict(self) -> dict[str, object]:
        """The same as an event."""
        return {"event": "file", **dataclasses.asdict(self), "state": self.state.value}


@dataclasses.dataclass(slots=True)
class NodeReport:
    """All that happened on one node."""

    node: str
    state: State = State.OK
    """OK also when single files failed: `counts` and `faults` say that."""
    error: str = ""
    via: str = "agent"
    planned: int = 0
    """Files that were to be moved, where that is known beforehand."""
    counts: "collections.Counter[State]" = dataclasses.field(default_factory=collections.Counter)
    moved_bytes: int = 0
    faults: list[FileResult] = dataclasses.field(default_factory=list)
    wall_s: float = 0.0

    def __bool__(self) -> bool:
        return self.state is State.OK and not self.faults

    @property
    def not_done(self) -> int:
        """Files of the plan that have no result of their own."""
        return max(0, self.planned - sum(count for state, count in self.counts.items() if state is not State.REMOVED))

    def add(self, result: FileResult) -> None:
        """Count a file."""
        self.counts[result.state] += 1
        if result.state not in GOOD:
            self.faults.append(result)

    @property
    def answer(self) -> str:
        """What happened, without node and time: equal answers are folded."""
        parts = [f"{count} {state.value}" for state, count in sorted(self.counts.items())]
        if self.not_done:
            parts.append(f"{self.not_done} not done")
        if self.moved_bytes:
            parts.append(size(self.moved_bytes))
        if self.via != "agent":
            parts.append(f"over {self.via}")
        said = ", ".join(parts) or "nothing to do"
        return said if self.state is State.OK else f"{self.state.value}: {self.error} ({said})"

    def as_dict(self) -> dict[str, object]:
        """The same as an event."""
        return {
            "event": "node",
            "node": self.node,
            "state": self.state.value,
            "error": self.error,
            "via": self.via,
            "files": {state.value: count for state, count in sorted(self.counts.items())},
            "not_done": self.not_done,
            "moved_bytes": self.moved_bytes,
            "wall_s": round(self.wall_s, 3),
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Transfer:
    """The answer of every node, in the order asked."""

    reports: tuple[NodeReport, ...]
    interrupted: bool
    wall_s: float

    @property
    def exit_code(self) -> int:
        """130 cancelled, 1 a fault of ours, 2 something was refused, 5 nodes gone, 3 files failed, 0 all well."""
        states = {report.state for report in self.reports}
        states |= {fault.state for report in self.reports for fault in report.faults}
        for code, bad in ((1, {State.ERROR}), (2, {State.REFUSED}), (5, GONE), (3, {State.FAILED, State.CANCELLED})):
            if not self.interrupted and states & bad:
                return code
        return 130 if self.interrupted else 0

    def ledger(self) -> dict[str, object]:
        """The sum over the nodes: total = ok + failed + quarantined + skipped + cancelled."""
        cancelled = sum(report.state is State.CANCELLED for report in self.reports)
        skipped = sum(report.state is State.UNREACHABLE for report in self.reports)
        good = sum(map(bool, self.reports))
        files: collections.Counter[State] = collections.Counter()
        for report in self.reports:
            files.update(report.counts)
        return {
            "event": "ledger",
            "total": len(self.reports),
            "ok": good,
            "failed": len(self.reports) - good - skipped - cancelled,
            "quarantined": 0,
            "skipped": skipped,
            "cancelled": cancelled,
            "files": {state.value: count for state, count in sorted(files.items())},
            "not_done": sum(report.not_done for report in self.reports),
            "moved_bytes": sum(report.moved_bytes for report in self.reports),
            "wall_s": round(self.wall_s, 3),
        }


def fold(reports: collections.abc.Iterable[NodeReport]) -> list[tuple[str, bool]]:
    """Lines like `demo-[1-3] (3): 2 sent, 4.1 MiB`, nodes with equal answers in one, and whether all is well there."""
    groups: dict[tuple[str, bool], list[str]] = {}
    for report in reports:
        groups.setdefault((report.answer, bool(report)), []).append(report.node)
    return [(f"{fold_names(nodes)} ({len(nodes)}): {answer}", good) for (answer, good), nodes in groups.items()]


def fold_faults(reports: collections.abc.Iterable[NodeReport]) -> list[str]:
    """Lines like `demo-[1-3]: out/a: no such file`, in the order in which they were met."""
    groups: dict[tuple[str, str], list[str]] = {}
    for report in reports:
        for fault in report.faults:
            groups.setdefault((fault.path, fault.error), []).append(fault.node)
    return [f"{fold_names(nodes)}: {printable(path)}: {printable(error)}" for (path, error), nodes in groups.items()]


def printable(text: str) -> str:
    """Leave nothing of a node's words that a terminal would obey."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
