"""A node as the lease queue knows it: what it holds, and whether it can be trusted with more."""

import collections
import collections.abc
import dataclasses
import typing

RECENT = 20
"""Answers of a node that its health is judged by."""
CORDON_FAILURES = 10
"""So many of the recent answers must be failures of different items before a node is suspected at all …"""
CORDON_RATIO = 4
"""… and its rate of failure at least so many times that of the other nodes."""


class Held(typing.NamedTuple):
    """One copy of an item at a node."""

    attempt: int
    leased_at_s: float


@dataclasses.dataclass(slots=True)
class Holder:
    """A node, as the queue knows it."""

    name: str
    heard_s: float
    holding: dict[int, Held] = dataclasses.field(default_factory=dict)
    cordoned: bool = False
    draining: bool = False
    recent: collections.deque[bool] = dataclasses.field(default_factory=lambda: collections.deque(maxlen=RECENT))
    failed_here: collections.deque[int] = dataclasses.field(default_factory=lambda: collections.deque(maxlen=1000))
    """Items whose last word is a failure here; forgiven when the node turns out to be bad."""

    def failed(self, index: int) -> None:
        """An item failed here."""
        self.recent.append(False)
        self.failed_here.append(index)

    def suspicious(self, others: collections.abc.Iterable["Holder"]) -> bool:
        """Whether many different items fail here that would do well on the `others`."""
        if not self.takes_work or not self.recent:
            return False
        failures = self.recent.count(False)
        if len(set(list(self.failed_here)[-failures:])) < CORDON_FAILURES or failures < CORDON_FAILURES:
            return False
        healthy = [other for other in others if other is not self and other.takes_work and True in other.recent]
        answers = sum(len(other.recent) for other in healthy)
        if answers < CORDON_FAILURES:
            return False
        rate = failures / len(self.recent)
        return 2 * rate >= 1 and rate >= CORDON_RATIO * sum(other.recent.count(False) for other in healthy) / answers

    @property
    def takes_work(self) -> bool:
        """Whether it may be given anything new."""
        return not (self.cordoned or self.draining)


@dataclasses.dataclass(frozen=True, slots=True)
class Cordoned:
    """A node that is to get nothing more, and the items whose failure there is forgiven."""

    node: str
    reopened: tuple[int, ...]
