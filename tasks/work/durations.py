"""How long items take: a median in constant memory, and the time limits that may refer to it."""

import dataclasses
import math
import re

from components.errors import GaxxError

_STEPS = 64
"""Buckets a doubling: the median is right to about 1 %."""
_SMALLEST_S = 1e-4
_BUCKETS = _STEPS * 40
ENOUGH = 3
"""Successes before a percentage of their median means anything."""
_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Durations:
    """A histogram with logarithmic buckets."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.sum_s = 0.0

    def add(self, duration_s: float) -> None:
        """Count one more."""
        place = int(math.log2(max(duration_s, _SMALLEST_S) / _SMALLEST_S) * _STEPS)
        self._counts[min(place, _BUCKETS - 1)] += 1
        self.count += 1
        self.sum_s += duration_s

    def median_s(self) -> float:
        """Return the median; 0 when there is nothing yet."""
        left = (self.count + 1) // 2
        for place, count in enumerate(self._counts):
            left -= count
            if left <= 0 and self.count:
                return float(_SMALLEST_S * 2 ** ((place + 0.5) / _STEPS))
        return 0.0


def parse_duration_s(text: str) -> float:
    """Read 90, 90s, 1.5m, 2h; raise GaxxError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)([smhd]?)", text.strip())
    if match is None or float(match[1]) <= 0:
        message = f"{text!r} is no duration; 90, 90s, 1.5m and 2h are"
        raise GaxxError(message)
    return float(match[1]) * _UNITS_S[match[2]]


@dataclasses.dataclass(frozen=True, slots=True)
class TimeLimit:
    """How long an item may take: seconds, or a percentage of the median of those that succeeded."""

    seconds: float = 0.0
    """0: none."""
    percent: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "TimeLimit":
        """Read `90`, `5m` or `300%`; raise GaxxError."""
        if text.endswith("%"):
            match = re.fullmatch(r"\d+(?:\.\d+)?", text[:-1])
            if match is None or float(match[0]) <= 100:  # noqa: PLR2004 - half of all items are slower than the median
                message = f"--timeout {text}: a percentage of the median must be a number above 100"
                raise GaxxError(message)
            return cls(percent=float(match[0]))
        try:
            return cls(seconds=parse_duration_s(text))
        except GaxxError as error:
            message = f"--timeout {text}: seconds (90, 5m) or a percentage of the median (300%) was expected"
            raise GaxxError(message) from error

    def in_force_s(self, successes: Durations) -> float:
        """Return the limit as of now; 0 when there is none (yet)."""
        if not self.percent:
            return self.seconds
        return successes.median_s() * self.percent / 100 if successes.count >= ENOUGH else 0.0
