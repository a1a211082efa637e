"""A bound on lines that strangers can cause: who only knocks must not be able to push the rest out of the trail."""

import time
from collections.abc import Callable

LINES_A_SECOND = 10


class Limit:
    """Lets so many lines a second pass, and counts the others."""

    def __init__(self, lines_a_second: int = LINES_A_SECOND, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = lines_a_second
        self._clock = clock
        self._second = 0
        self._in_second = 0
        self._unnoted = 0

    def passes(self) -> dict[str, int] | None:
        """Return the fields that the line shall have in addition, or None when it shall not be written.

        `unnoted_before` is how many were not written since the last one that was.
        """
        now = int(self._clock())
        if now != self._second:
            self._second, self._in_second = now, 0
        self._in_second += 1
        if self._in_second > self._most:
            self._unnoted += 1
            return None
        before, self._unnoted = self._unnoted, 0
        return {"unnoted_before": before} if before else {}
