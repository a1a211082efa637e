"""Who reaches which port of which fleet, before and after."""

import dataclasses
import typing

from tasks.review.events import natural
from tasks.review.tree import ENROLMENT, Tree

State = typing.Literal["added", "removed", "kept"]

_PORTS = {22: "22 SSH", 2222: "2222 SSH", 8088: "8088 agent", 9091: "9091 metrics", 6060: "6060 profiler"}
_SAME = {2222: 22}
_EVERY_PORT = (0, 65535)
_WORLD = ("0.0.0.0/0", "::/0")


@dataclasses.dataclass(frozen=True, slots=True)
class Opening:
    """One port, or a range of them, open to one range of addresses."""

    fleet: str
    port: str
    source: str
    state: State

    @property
    def of_the_world(self) -> bool:
        """Whether anybody may come."""
        return self.source in _WORLD


def compare(before: Tree, after: Tree) -> tuple[Opening, ...]:
    """Every opening of either, in the order of fleets, ports and sources."""
    old, new = _of(before), _of(after)
    found = [
        Opening(*key, state="kept" if key in old and key in new else "added" if key in new else "removed")
        for key in old | new
    ]
    return tuple(sorted(found, key=lambda opening: natural(f"{opening.fleet}\0{opening.port}\0{opening.source}")))


def unreadable(after: Tree) -> tuple[str, ...]:
    """What of the head's firewalls could not be told; rules refuse it too."""
    return tuple(
        f"{after.by_urn[urn].name}: {fault}"
        for urn, found in sorted(after.facts.openings.items())
        for fault in found["faults"]
    )


def _of(tree: Tree) -> set[tuple[str, str, str]]:
    firewalls: set[tuple[str, int, int, str]] = set()
    nodes: set[tuple[str, int, int, str]] = set()
    for urn, opened in tree.facts.openings.items():
        resource = tree.by_urn[urn]
        kept = nodes if resource.type == ENROLMENT else firewalls
        for opening in opened["found"]:
            for source in opening["sources"]:
                kept.add((tree.fleet_of(urn) or resource.name, opening["first"], opening["last"], source))
    # A node's own ruleset repeats its fleet's firewall, for whichever port its cloud has SSH on.
    told = {(fleet, _SAME.get(first, first), source) for fleet, first, _, source in firewalls}
    own = {entry for entry in nodes if (entry[0], _SAME.get(entry[1], entry[1]), entry[3]) not in told}
    return {(fleet, _port(first, last), source) for fleet, first, last, source in firewalls | own}


def _port(first: int, last: int) -> str:
    if (first, last) == _EVERY_PORT:
        return "every port"
    return _PORTS.get(first, str(first)) if first == last else f"{first}-{last}"
