"""How many nodes a stack may have, and what it may cost an hour.

Judged as resources are declared, so that the machine that is one too many is refused before it is made. A fleet
tells how many it will have; what it does not tell is counted.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from policy.declared import UNKNOWN, Declared, has_unknown, texts
from policy.machines import FLEET, VULTR, Cloud, machine
from policy.price_table import price_table
from policy.rule import Rule, Settings, number

_ROUNDING_USD = 1e-9


@dataclasses.dataclass(frozen=True, slots=True)
class _Wanted:
    """What a stack wants so far."""

    nodes: int
    hourly_usd: float
    faults: tuple[str, ...]
    """What of the newest resource cannot be told."""


def node_budget(declared: Sequence[Declared], settings: Settings) -> Iterable[str]:
    """The stack has no more nodes than it may."""
    if _says_nothing_new(declared):
        return
    wanted = _wanted(declared)
    yield from wanted.faults
    if wanted.nodes > settings["nodes"]:
        yield f"{wanted.nodes} nodes, and {settings['nodes']:g} is the limit of a stack"


def hourly_budget(declared: Sequence[Declared], settings: Settings) -> Iterable[str]:
    """The stack costs no more an hour than it may; a type without a price is refused."""
    if _says_nothing_new(declared):
        return
    wanted = _wanted(declared)
    yield from wanted.faults
    newest = declared[-1]
    kind = newest.props.get("plan" if newest.type == VULTR else "type")
    if kind is not UNKNOWN and _price(newest) is None:
        yield f"{kind} is not in the table of prices of {price_table().date} (policy/prices.json)"
    if wanted.hourly_usd > settings["usd"] + _ROUNDING_USD:
        yield f"${wanted.hourly_usd:.3f}/h for machines alone, and ${settings['usd']:g}/h is the limit of a stack"


def _says_nothing_new(declared: Sequence[Declared]) -> bool:
    """Whether the newest resource wants nothing, or what its fleet told already."""
    newest = declared[-1]
    if newest.type == FLEET:
        return False
    if machine(newest) is None:
        return True
    siblings = sum(machine(resource) is not None and resource.parent == newest.parent for resource in declared)
    return any(
        resource.type == FLEET
        and resource.urn == newest.parent
        and siblings <= _count(resource)
        and _price(newest) is not None
        and (_price(newest) or 0.0) <= (_price(resource) or 0.0)
        for resource in declared
    )


def _wanted(declared: Sequence[Declared]) -> _Wanted:
    machines: dict[str, list[float]] = {}
    for resource in declared:
        if machine(resource) is not None:
            machines.setdefault(resource.parent, []).append(_price(resource) or 0.0)
    nodes = sum(len(prices) for prices in machines.values())
    hourly_usd = sum(sum(prices) for prices in machines.values())
    for fleet in (resource for resource in declared if resource.type == FLEET):
        to_come = max(0, _count(fleet) - len(machines.get(fleet.urn, [])))
        nodes += to_come
        hourly_usd += to_come * (_price(fleet) or 0.0)
    return _Wanted(nodes, hourly_usd, tuple(_faults(declared[-1])))


def _faults(newest: Declared) -> Iterable[str]:
    if newest.type == FLEET:
        unknown = [key for key in ("cloud", "nodes", "type", "regions") if has_unknown(newest.props.get(key))]
    else:
        subject = machine(newest)
        paid = subject is not None and subject.paid
        unknown = [key for key in ("type", "plan", "region") if paid and newest.props.get(key) is UNKNOWN]
    yield from (f"{key}: not known at preview" for key in unknown)


def _count(fleet: Declared) -> int:
    nodes = fleet.props.get("nodes")
    return int(nodes) if isinstance(nodes, int | float) else 0


def _price(resource: Declared) -> float | None:
    """$/hour of a machine, or of each of a fleet in its dearest region; None for one that is not in the table."""
    table = price_table()
    subject = machine(resource)
    if subject is not None:
        return table.hourly_usd(subject.cloud, str(subject.kind), str(subject.region))
    cloud, kind, regions = (resource.props.get(key) for key in ("cloud", "type", "regions"))
    known: dict[object, Cloud] = {"linode": "linode", "vultr": "vultr"}
    if cloud not in known:
        return 0.0
    places = texts(regions) or [""]
    prices = [table.hourly_usd(known[cloud], str(kind), place) for place in places]
    return None if None in prices else max(price for price in prices if price is not None)


RULES = (
    Rule(
        "node-budget",
        "mandatory",
        "a slip of a digit does not start a thousand machines",
        "declare fewer nodes, or have the limit raised (nodes of this rule in the pack's configuration)",
        growing=node_budget,
        parameters={"nodes": number("The most nodes of a stack.", 500)},
    ),
    Rule(
        "hourly-budget",
        "mandatory",
        "an hour costs what was agreed on",
        "declare fewer or smaller machines, have the limit raised (usd of this rule in the pack's configuration), or "
        "add the type to policy/prices.json",
        growing=hourly_budget,
        parameters={"usd": number("The most $/hour of a stack, for machines alone.", 25)},
    ),
)
