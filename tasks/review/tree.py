"""The resources of a document as fleets and their nodes."""

import dataclasses
import functools
import typing
from collections.abc import Mapping

from tasks.review.document import Document, Resource
from tasks.review.facts import Facts

FLEET = "gaxx:index:Fleet"
FIREWALL = "gaxx:index:Firewall"
ENROLMENT = "gaxx:index:Enrolment"
IDENTITY = "gaxx:index:BootstrapIdentity"
NOBODY = "throw-away"
"""The operator of a stack that names none, while it is reviewed; whose it will be is whoever brings it up."""
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine writes for a text that a preview cannot know."""


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """One machine with what is declared beside it for the same node."""

    urn: str
    name: str
    fleet: str
    """Empty: it belongs to none."""
    machine: Resource
    cloud: str
    type: str
    region: str
    image: str
    ttl: str
    hourly_usd: float | None
    """None: the type has no price in the table."""
    enrolment: Mapping[str, typing.Any]
    triggers: tuple[str, ...]
    """Image, type and region, where a change of them makes new keys and so a new machine."""


@dataclasses.dataclass(frozen=True)
class Tree:
    """One document, read."""

    document: Document
    facts: Facts

    @functools.cached_property
    def by_urn(self) -> Mapping[str, Resource]:
        """Every resource."""
        return {resource.urn: resource for resource in self.document.resources}

    @functools.cached_property
    def fleets(self) -> Mapping[str, Resource]:
        """Fleets by name, in the order of their names."""
        return {r.name: r for r in self.document.resources if r.type == FLEET}

    @functools.cached_property
    def nodes(self) -> Mapping[str, Node]:
        """Machines by URN."""
        beside = self._beside()
        found = {}
        for urn, machine in self.facts.machines.items():
            resource = self.by_urn[urn]
            fleet = self.fleet_of(urn)
            declared = self.fleets.get(fleet)
            enrolment, identity = beside.get((resource.parent, resource.name), (None, None))
            about = declared.props if declared else {}
            found[urn] = Node(
                urn=urn,
                name=resource.name,
                fleet=fleet,
                machine=resource,
                cloud=str(about.get("cloud") or machine["cloud"]),
                type=machine["type"] or str(about.get("type") or ""),
                region=machine["region"] or _first(about.get("regions")),
                image=machine["image"] or str(about.get("image") or ""),
                ttl=machine["ttl"],
                hourly_usd=machine["hourlyUsd"],
                enrolment=enrolment.props if enrolment else {},
                triggers=tuple(map(str, identity.props.get("triggers", ()))) if identity else (),
            )
        return found

    def fleet_of(self, urn: str) -> str:
        """The fleet that a resource belongs to; "" when it belongs to none."""
        seen = set()
        while urn and urn not in seen:
            seen.add(urn)
            resource = self.by_urn.get(urn)
            if resource is None:
                return ""
            if resource.type == FLEET:
                return resource.name
            urn = resource.parent
        return ""

    def _beside(self) -> dict[tuple[str, str], tuple[Resource | None, Resource | None]]:
        found: dict[tuple[str, str], tuple[Resource | None, Resource | None]] = {}
        for resource in self.document.resources:
            if resource.type in (ENROLMENT, IDENTITY):
                key = (resource.parent, str(resource.props.get("node", "")))
                enrolment, identity = found.get(key, (None, None))
                found[key] = (resource, identity) if resource.type == ENROLMENT else (enrolment, resource)
        return found


def _first(values: object) -> str:
    return str(values[0]) if isinstance(values, list) and values else ""
