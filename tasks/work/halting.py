"""When to stop early: `--halt now|soon,fail|success|done=X[%]`, as GNU parallel means it."""

import dataclasses
import re
import typing

from components.errors import GaxxError

MINIMUM_OF_PERCENT = 3
"""A percentage halts nothing before so many have come to it."""


@dataclasses.dataclass(frozen=True, slots=True)
class HaltPolicy:
    """`soon` lets what runs finish, `now` kills it; percentages are of the whole input, where its length is known."""

    when: typing.Literal["never", "soon", "now"] = "never"
    what: typing.Literal["fail", "success", "done"] = "fail"
    limit: float = 1.0
    percent: bool = False

    @classmethod
    def parse(cls, text: str) -> "HaltPolicy":
        """Read the option; raise GaxxError."""
        if text == "never":
            return cls()
        match = re.fullmatch(r"(now|soon),(fail|success|done)=(\d+(?:\.\d+)?)(%?)", text)
        if match is None or float(match[3]) <= 0 or (not match[4] and "." in match[3]):
            message = f"--halt {text}: never, or now|soon,fail|success|done=X or X% was expected (soon,fail=10%)"
            raise GaxxError(message)
        when = typing.cast("typing.Literal['soon', 'now']", match[1])
        what = typing.cast("typing.Literal['fail', 'success', 'done']", match[2])
        return cls(when, what, float(match[3]), percent=bool(match[4]))

    def reached(self, *, ok: int, bad: int, total: int) -> bool:
        """Whether to halt; `bad` counts failed and quarantined items, `total` is 0 while it is unknown."""
        if self.when == "never":
            return False
        number = {"fail": bad, "success": ok, "done": ok + bad}[self.what]
        if not self.percent:
            return number >= self.limit
        of = total or ok + bad
        return number >= MINIMUM_OF_PERCENT and number * 100 >= self.limit * of

    def __str__(self) -> str:
        return "never" if self.when == "never" else f"{self.when},{self.what}={self.limit:g}{'%' * self.percent}"
