"""What the controller knows of one node during a run, beside what the queue knows: its pace, its moods, its score."""

import dataclasses

from tasks.work.node_stream import NodeStream
from tasks.work.pace import Pace

SICK_S = (1.0, 2.0, 5.0, 10.0, 20.0)
"""A node that cannot execute anything just now is left alone for so long, each time longer."""


@dataclasses.dataclass(slots=True)
class Lane:
    """One node of the run."""

    stream: NodeStream
    pace: Pace
    ok: int = 0
    failed: int = 0
    reconcile: bool = False
    """The first beat after a welcome tells which leases are gone; nothing is leased before."""
    fetching: set[int] = dataclasses.field(default_factory=set)
    """Items whose outputs or files are being brought."""
    unlimited: dict[int, float] = dataclasses.field(default_factory=dict)
    """Items leased before a time limit was known, and when."""
    overdue: set[int] = dataclasses.field(default_factory=set)
    """Items that were called off because such a limit is known now."""
    sick_until_s: float = 0.0
    sick_times: int = 0

    @property
    def name(self) -> str:
        """The node's name."""
        return self.stream.name

    @property
    def ready(self) -> bool:
        """Whether it can be given something now."""
        return self.stream.connected and not self.reconcile

    def sicken(self, now_s: float) -> bool:
        """Leave it alone for a while; return whether that is news."""
        if now_s < self.sick_until_s:
            return False
        self.sick_until_s = now_s + SICK_S[min(self.sick_times, len(SICK_S) - 1)]
        self.sick_times += 1
        return True
