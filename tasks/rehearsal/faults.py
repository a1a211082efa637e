"""What goes wrong in a rehearsal: by name, rate and seed, so that the same seed goes wrong in the same way."""

import dataclasses
import random
import re
import typing

from components.errors import GaxxError

Name = typing.Literal[
    "429", "500", "create-500", "no-capacity", "slow-boot", "never-boot", "mute", "late-delete", "disorder"
]

NAMES: dict[Name, str] = {
    "429": "a call is refused as one too many",
    "500": "a call fails and does nothing",
    "create-500": "a create fails and yet creates",
    "no-capacity": "an instance is refused, and none is made",
    "slow-boot": "an instance takes much longer to boot",
    "never-boot": "an instance never boots",
    "mute": "an instance runs, and nothing in it answers",
    "late-delete": "a deleted instance is listed for a while",
    "disorder": "lists come in another order each time",
}


class Boot(typing.TypedDict):
    """What is wrong with the boot of an instance."""

    slow: bool
    never: bool
    mute: bool


_WISH = re.compile(r"(?P<name>[a-z0-9-]+)=(?P<rate>[0-9.]+)(?:/(?P<most>[0-9]+))?")


@dataclasses.dataclass(slots=True)
class _Fault:
    rate: float
    left: int | None
    """How often it may still happen; None: always."""
    random: random.Random


class Faults:
    """Decides of each occasion whether it goes wrong."""

    def __init__(self, wishes: typing.Mapping[Name, tuple[float, int | None]] | None = None, *, seed: int = 0) -> None:
        self._faults = {
            # One sequence each: whether one kind strikes does not depend on how often another was asked.
            name: _Fault(rate, most, random.Random(f"{seed}/{name}"))  # noqa: S311 - the same again, by wish
            for name, (rate, most) in (wishes or {}).items()
        }

    def strikes(self, name: Name) -> bool:
        """Whether it happens this time."""
        fault = self._faults.get(name)
        if fault is None or fault.left == 0 or fault.random.random() >= fault.rate:
            return False
        if fault.left is not None:
            fault.left -= 1
        return True

    def boot(self) -> "Boot":
        """How the next instance boots."""
        return {"slow": self.strikes("slow-boot"), "never": self.strikes("never-boot"), "mute": self.strikes("mute")}

    def shuffled(self, entries: list[typing.Any]) -> list[typing.Any]:
        """The same entries, in another order when `disorder` strikes."""
        if not self.strikes("disorder"):
            return entries
        return self._faults["disorder"].random.sample(entries, len(entries))


def parse(text: str) -> dict[Name, tuple[float, int | None]]:
    """Read `429=0.1,create-500=1/2`: rate, and how often at most. Raise GaxxError."""
    wishes: dict[Name, tuple[float, int | None]] = {}
    for word in filter(None, text.split(",")):
        match = _WISH.fullmatch(word.strip())
        if match is None or match["name"] not in NAMES or not _is_rate(match["rate"]):
            message = f"--faults {word}: a fault is NAME=RATE or NAME=RATE/MOST, with a rate from 0 to 1"
            raise GaxxError(message, hint=f"names are {', '.join(NAMES)}")
        most = int(match["most"]) if match["most"] else None
        wishes[typing.cast("Name", match["name"])] = (float(match["rate"]), most)
    return wishes


def _is_rate(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False
