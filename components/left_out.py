"""GAXX_WITHOUT: nodes that one update is told to do without, of fleets that have enough without them.

A vendor that refuses to make a machine fails the update; the one after it must go on without it and without being told
so by the stack file, where the next one is to try again.
"""

import os
from collections.abc import Iterable

from components import naming
from components.errors import SettingsError
from components.fleet_settings import FleetSettings

VARIABLE = "GAXX_WITHOUT"


def named() -> tuple[str, ...]:
    """The names in the environment."""
    return tuple(filter(None, (name.strip() for name in os.environ.get(VARIABLE, "").split(","))))


def of_fleet(fleet: FleetSettings) -> frozenset[str]:
    """The fleet's nodes that are named; raise SettingsError when it has too few without them."""
    nodes = {naming.node_name(fleet.name, index) for index in range(1, fleet.nodes + 1)}
    found = nodes.intersection(named())
    if found and fleet.nodes - len(found) < fleet.enough:
        text = (
            f"without {', '.join(sorted(found))} {fleet.name} has {fleet.nodes - len(found)} of {fleet.nodes} nodes, "
            f"and {fleet.enough} are enough; leave out fewer, or declare a smaller `enough`"
        )
        raise SettingsError(((VARIABLE, text),))
    return frozenset(found)


def require_known(fleets: Iterable[FleetSettings]) -> None:
    """Raise SettingsError when a name is no node's."""
    nodes = {naming.node_name(fleet.name, index) for fleet in fleets for index in range(1, fleet.nodes + 1)}
    unknown = [name for name in named() if name not in nodes]
    if unknown:
        text = f"no fleet has the node {', '.join(unknown)}; names are separated by commas: west-2,west-5"
        raise SettingsError(((VARIABLE, text),))
