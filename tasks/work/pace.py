"""How much to lease to a node at a time: from one item a slot up to about two seconds of its work."""

import collections

TARGET_S = 2.0
"""Of work at a node: enough to hide the way there and back, little enough to lose with it."""
MAX_LEASED = 1024
"""Items at one node, whatever its speed: bounds memory on both sides."""
GROWTH = 2
"""A node gets at most so many times what it has proven to finish in time."""
WINDOW_S = 2.0


class Pace:
    """The speed of one node, measured by what it answers."""

    def __init__(self, slots: int) -> None:
        self.slots = max(slots, 1)
        self.finished = 0
        self._allowed = self.slots
        self._answers: collections.deque[tuple[float, int]] = collections.deque()
        self._recent = 0

    def answered(self, count: int, now_s: float) -> None:
        """So many items came back just now."""
        self.finished += count
        self._answers.append((now_s, count))
        self._recent += count
        while self._answers and now_s - self._answers[0][0] > WINDOW_S:
            self._recent -= self._answers.popleft()[1]
        # Doubling with each answer reaches any speed in a few round trips; the measured rate holds it down again.
        self._allowed = min(self._allowed * GROWTH, MAX_LEASED)

    def rate(self, now_s: float) -> float:
        """Items a second over the last window."""
        if not self._answers:
            return 0.0
        span_s = now_s - self._answers[0][0]
        return self._recent / max(span_s, 0.05)

    def target(self, now_s: float, *, left: int, nodes: int) -> int:
        """How many items it should hold now, when `left` are to be handed out to `nodes` nodes in all."""
        by_rate = max(int(self.rate(now_s) * TARGET_S), self.slots)
        # Towards the end the shares shrink, so that no node sits on work while others are idle.
        share = max(left // (2 * max(nodes, 1)), self.slots)
        return min(self._allowed, by_rate, share, MAX_LEASED)
