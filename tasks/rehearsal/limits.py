"""Rate limits: so many calls in a sliding window, as the vendors count them."""

import collections
import dataclasses
import math


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """So many calls in so many seconds."""

    calls: int
    window_s: float


class Meter:
    """Counts calls against one limit."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._calls: collections.deque[float] = collections.deque()

    def wait_s(self, now: float) -> int:
        """Count a call at `now`; return 0, or in how many whole seconds it may be tried again."""
        while self._calls and self._calls[0] <= now - self.limit.window_s:
            self._calls.popleft()
        if len(self._calls) >= self.limit.calls:
            return max(1, math.ceil(self._calls[0] + self.limit.window_s - now))
        self._calls.append(now)
        return 0
