"""What the nodes of a run cost an hour, by the price list that the policies judge by: their data, not their code."""

import collections.abc
import json
import pathlib

from components.errors import GaxxError
from components.inventory import Node

PRICES = pathlib.Path(__file__).parent.parent.parent / "policy" / "prices.json"
FREE = frozenset({"local", "qemu"})


def hourly_usd(nodes: collections.abc.Iterable[Node], prices: pathlib.Path = PRICES) -> float:
    """Sum up $/hour; raise GaxxError when a price is not known."""
    paid = [node for node in nodes if node.cloud not in FREE]
    if not paid:
        return 0.0
    try:
        clouds = json.loads(prices.read_text(encoding="utf-8"))["clouds"]
    except (OSError, ValueError, KeyError) as error:
        message = f"--max-cost: no price list at {prices}: {error}"
        raise GaxxError(message) from error
    return sum(_price(node, clouds) for node in paid)


def _price(node: Node, clouds: dict[str, dict[str, dict[str, float]]]) -> float:
    try:
        cloud = clouds[node.cloud]
        return float(cloud["types"][node.type]) * float(cloud["regions"].get(node.region, 1.0))
    except KeyError as error:
        message = f"--max-cost: the price of {node.name} ({node.cloud} {node.type}) is not known"
        raise GaxxError(message, hint=f"add it to {PRICES}") from error
