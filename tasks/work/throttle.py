"""What keeps leases back although nodes are free: a rate over the whole fleet, a canary that goes first."""

import dataclasses


@dataclasses.dataclass(slots=True)
class TokenBucket:
    """At most `rate` items a second are begun, over the whole fleet; 0 is unbounded."""

    rate: float
    tokens: float = 0.0

    def refill(self, seconds: float) -> None:
        """So much time has gone by; what is not used within a second is lost."""
        self.tokens = min(self.tokens + self.rate * seconds, max(self.rate, 1.0))

    def allowed(self, wanted: int) -> int:
        """How many of `wanted` may begin now."""
        return min(wanted, int(self.tokens)) if self.rate else wanted

    def take(self, count: int) -> None:
        """So many have begun."""
        self.tokens -= count


@dataclasses.dataclass(slots=True)
class Canary:
    """The first `count` items go to one node; the others wait for them."""

    count: int
    node: str = ""
    passed: int = 0

    def target(self, node: str) -> int:
        """How many items a node should hold."""
        self.node = self.node or node
        return self.count - self.passed if node == self.node else 0

    def lost(self, node: str) -> None:
        """A node went away: another one may be the canary's."""
        if node == self.node:
            self.node = ""

    def is_over(self, known_items: int) -> bool:
        """Whether all of them have passed; an input may have fewer."""
        return self.passed >= min(self.count, known_items)
