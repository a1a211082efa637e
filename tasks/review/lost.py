"""What was found at the vendors and is in no state, as a review of one stack shows it. Pure."""

import dataclasses
import typing
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class LostThing:
    """Something that is paid for, or stands open, and that nobody's state knows."""

    stack: str
    cloud: str
    kind: str
    name: str
    verdict: str
    created: str
    hourly_usd: float | None
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Lost:
    """All of it."""

    asked: tuple[str, ...]
    """Clouds that were asked; of the others nothing is said."""
    things: tuple[LostThing, ...]
    note: str
    """What was not asked, and why."""

    @property
    def hourly_usd(self) -> float:
        """What it costs together, as far as prices are known."""
        return sum(thing.hourly_usd or 0.0 for thing in self.things)


def of_stack(gathered: Mapping[str, typing.Any], stack: str) -> Lost:
    """What belongs to a stack, and what belongs to none that there is."""
    others = set(gathered["stacks"]) - {stack}
    return Lost(
        tuple(gathered["asked"]),
        tuple(
            LostThing(
                entry["stack"], entry["cloud"], entry["kind"], entry["name"], entry["verdict"], entry["created"],
                entry["hourlyUsd"], entry["why"],
            )
            for entry in gathered["found"]
            if entry["stack"] not in others
        ),
        gathered["note"],
    )  # fmt: skip
