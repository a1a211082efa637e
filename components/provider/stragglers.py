"""Which nodes of a fleet are enrolled in this operation, and how long it is worth waiting for the others."""

import dataclasses

from components.provider.context import Context

LEAST_S = 15.0
_TIMES = 2.0
"""A node may take so many times as long as the slowest that was enrolled in the same operation."""


@dataclasses.dataclass(slots=True)
class _Fleet:
    enrolled: set[str] = dataclasses.field(default_factory=set)
    slowest_s: float = 0.0


_fleets: dict[tuple[str, str], _Fleet] = {}
"""By stack and fleet. One process of ours serves one operation of the engine."""


def _fleet(context: Context, fleet: str) -> _Fleet:
    return _fleets.setdefault((context.stack, fleet), _Fleet())


def found_serving(context: Context, fleet: str, node: str) -> None:
    """Note a node that was enrolled before."""
    _fleet(context, fleet).enrolled.add(node)


def enrolled(context: Context, fleet: str, node: str, took_s: float) -> None:
    """Note a node that was enrolled now, and how long that took from the first try to reach it."""
    known = _fleet(context, fleet)
    known.enrolled.add(node)
    known.slowest_s = max(known.slowest_s, took_s)


def is_late(context: Context, fleet: str, enough: int, waited_s: float) -> bool:
    """Whether a node that was waited for so long is to be given up: enough others are enrolled, all of them sooner.

    Where none was enrolled in this operation, nobody knows how long machines take now: then never.
    """
    known = _fleet(context, fleet)
    if not 0 < enough <= len(known.enrolled) or not known.slowest_s:
        return False
    return waited_s > max(LEAST_S, _TIMES * known.slowest_s)
