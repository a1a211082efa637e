"""The sum of a run: every item is in exactly one of five columns, and they add up to the total."""

import dataclasses

from components.errors import GaxxError


@dataclasses.dataclass(frozen=True, slots=True)
class Ledger:
    """total = ok + failed + quarantined + skipped + cancelled."""

    total: int
    ok: int = 0
    failed: int = 0
    """Out of attempts."""
    quarantined: int = 0
    """Failed on two different nodes: the item is bad."""
    skipped: int = 0
    """Nothing became of them: a limit halted the run, or no node was left."""
    cancelled: int = 0
    """The user stopped the run before they were done."""

    def __post_init__(self) -> None:
        columns = self.ok + self.failed + self.quarantined + self.skipped + self.cancelled
        if columns != self.total:
            message = f"the ledger does not add up: {self}"
            raise GaxxError(message, hint="this is a fault of gaxx; the journal has the truth")

    @property
    def done(self) -> int:
        """Items that have an answer."""
        return self.ok + self.failed + self.quarantined

    def as_dict(self) -> dict[str, int]:
        """The columns, in the order they are always shown."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        columns = ", ".join(f"{count} {name}" for name, count in self.as_dict().items() if name != "total" and count)
        return f"{self.total} items: {columns or 'nothing to do'}"
