"""How fast the vendors make machines: the one place that knows, and the estimate that a preview says. Pure."""

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


def estimate(cloud: str, machines: int) -> str:
    """Say how long it takes to make a fleet; empty where nobody has to wait."""
    pace = PACES.get(cloud)
    if pace is None or machines == 0:
        return ""
    minutes = max(1, round(pace.seconds(machines) / 60))
    return f"{machines} node{'s' if machines > 1 else ''} of {cloud} made anew: about {minutes} min"
