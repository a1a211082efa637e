"""Failures that look alike, counted together: how they ended, what they said, on which nodes, the first few items."""

import collections
import collections.abc
import dataclasses
import typing

from tasks.outcome import signal_name
from tasks.selection import fold_names
from tasks.work.journal import Attempt

KINDS = 200
"""So many different failures are told apart; the rest is one more."""
EXAMPLES = 10
SHOWN = 3
"""Kinds that are told at the end of a run."""
MANY_MESSAGES = "(many different messages)"
_WORDS = {"spawn-failed": "could not be started", "timeout": "timed out", "bad-files": "files not to be had"}


@dataclasses.dataclass(slots=True)
class FailureFold:
    """Failures that look the same."""

    how: str
    """exit 7, signal 9, or the attempt's class."""
    stderr: str
    """What it said, or why it could not."""
    nodes: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    examples: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    """Index and node of the first few."""

    @property
    def count(self) -> int:
        """How many items failed so."""
        return self.nodes.total()

    @property
    def items(self) -> str:
        """Name the items as a person counts them: item 3; items 1, 2, 7 and 40 more."""
        named = ", ".join(str(index + 1) for index, _ in sorted(self.examples))
        more = f" and {self.count - len(self.examples)} more" if self.count > len(self.examples) else ""
        return f"item{'s' * (self.count != 1)} {named}{more}"

    def as_dict(self) -> dict[str, typing.Any]:
        """The fold for programs."""
        return {
            "how": self.how,
            "stderr": self.stderr,
            "count": self.count,
            "items": [index for index, _ in self.examples],
            "nodes": dict(self.nodes),
        }

    def __str__(self) -> str:
        """Say in one line: items 1, 2 failed: exit 4 on demo-[1-2]."""
        name, _, number = self.how.partition(" ")
        how = f"killed by {signal_name(int(number))}" if name == "signal" else _WORDS.get(self.how, self.how)
        said = self.stderr.strip().splitlines()
        return f"{self.items} failed: {how} on {fold_names(self.nodes)}{f': {said[-1]}' if said else ''}"


class Failures:
    """The failures of a run, as its items come to their answers; bounded, however many there are."""

    def __init__(self) -> None:
        self._folds: dict[tuple[str, str], FailureFold] = {}

    @property
    def folds(self) -> list[FailureFold]:
        """What there is, the most frequent first."""
        return sorted((fold for fold in self._folds.values() if fold.count), key=lambda fold: -fold.count)

    def add(self, index: int, node: str, how: str, said: str) -> None:
        """An item's answer is a failure."""
        key = (how, said)
        if key not in self._folds and len(self._folds) >= KINDS:
            key = (how, MANY_MESSAGES)
        fold = self._folds.setdefault(key, FailureFold(*key))
        fold.nodes[node] += 1
        if len(fold.examples) < EXAMPLES:
            fold.examples.append((index, node))

    def take(self, attempt: Attempt, said: str) -> None:
        """Add an answer of the journal, if it is a failure."""
        if attempt.state in ("failed", "quarantined"):
            self.add(attempt.index, attempt.node, how_of(attempt.kind, attempt.exit, attempt.signal), said)

    def note(self, event: collections.abc.Mapping[str, typing.Any]) -> None:
        """Forget what an event of the journal says is tried again."""
        match event.get("event"):
            case "cordon":
                self.forgive(event["node"])
            case "reopen":
                # A session that tries failures again tries all of them.
                self._folds.clear()

    def forgive(self, node: str) -> None:
        """The node was cordoned: what failed there is tried elsewhere."""
        for fold in self._folds.values():
            del fold.nodes[node]
            fold.examples = [example for example in fold.examples if example[1] != node]

    def sentences(self, run_id: str) -> list[str]:
        """Say what failed and why in a few lines."""
        folds = self.folds
        lines = [str(fold) for fold in folds[:SHOWN]]
        if len(folds) > SHOWN:
            rest = sum(fold.count for fold in folds[SHOWN:])
            lines.append(f"{rest} more failed in other ways: `gaxx runs show {run_id}`")
        return lines


def how_of(kind: str, exit_code: int, signal_number: int) -> str:
    """Name how an attempt failed, by its line in the journal."""
    if kind == "exited":
        return f"exit {exit_code}"
    return f"signal {signal_number}" if kind == "signaled" else kind
