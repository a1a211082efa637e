"""Where an item can be, what an attempt can come to, and what that can do to the item: closed sets, used everywhere."""

import enum


class State(enum.IntEnum):
    """Where an item is; `journal` uses the names."""

    PENDING = 0
    LEASED = 1
    OK = 2
    FAILED = 3
    QUARANTINED = 4
    CANCELLED = 5


TERMINAL = frozenset({State.OK, State.FAILED, State.QUARANTINED, State.CANCELLED})


class Verdict(enum.Enum):
    """What an attempt came to."""

    OK = "ok"
    FAILED = "failed"
    LOST = "lost"
    """Nobody knows how far it came: not the item's fault."""
    CANCELLED = "cancelled"
    """We stopped it: it lost a race, or the run is being halted."""


class Effect(enum.Enum):
    """What settling an attempt did."""

    OK = "ok"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    RETRY = "retry"
    """Failed, and goes to another attempt (or another copy of it still runs)."""
    REQUEUED = "requeued"
    """Lost or cancelled before it came to anything."""
    DUPLICATE = "duplicate"
    """The item has its answer already."""
