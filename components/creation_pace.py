"""How fast the vendors make machines: the one place that knows, for whoever waits and whoever estimates. Pure."""

import collections
import dataclasses
import math
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """So many creates in so many seconds, and how long a machine then takes until it is enrolled."""

    creates: int
    window_s: float
    boot_s: float

    def seconds(self, machines: int) -> float:
        """How long that many machines take."""
        waits = max(0, math.ceil(machines / self.creates) - 1)
        return waits * self.window_s + self.boot_s


PACES: Mapping[str, Pace] = {
    # What users report of creating instances (about 10 in 30 s); their plugin waits as long as the API tells it to.
    "linode": Pace(creates=10, window_s=30, boot_s=45),
    # Vultr's API documentation: 30 calls a second, of which the plugin needs several for each machine; the plugin
    # itself waits 20 s for each.
    "vultr": Pace(creates=5, window_s=1, boot_s=60),
}
_OWN: Mapping[str, Pace] = {
    # Measured, on two processors: nobody counts machines of this computer, but it has to boot them.
    "local": Pace(creates=60, window_s=60, boot_s=12),
    "qemu": Pace(creates=2, window_s=60, boot_s=120),
}


class Turns:
    """Who may create when, so that no window holds more creates than its vendor accepts."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._last: collections.deque[float] = collections.deque(maxlen=pace.creates)

    def wait_s(self, now: float) -> float:
        """Take the next turn; return how long it is until then."""
        full = len(self._last) == self._pace.creates
        turn = max(now, self._last[0] + self._pace.window_s) if full else now
        self._last.append(turn)
        return turn - now


def estimate(cloud: str, machines: int) -> str:
    """Say how long it takes to make a fleet; empty where nobody has to wait."""
    if cloud not in PACES or machines == 0:
        return ""
    return f"{machines} node{'s' if machines > 1 else ''} of {cloud} made anew: about {minutes({cloud: machines})} min"


def minutes(made: Mapping[str, int]) -> int:
    """About how many minutes an update takes that makes so many machines; clouds work side by side."""
    paces = {**PACES, **_OWN}
    longest_s = max((paces[cloud].seconds(count) for cloud, count in made.items() if cloud in paces), default=0.0)
    return max(1, round(longest_s / 60))
