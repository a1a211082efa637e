"""$/hour of the vendors' machine types, from prices.json: data with a date and a source, never asked for online."""

import dataclasses
import functools
import json
import pathlib

from policy.machines import Cloud

_FILE = pathlib.Path(__file__).with_name("prices.json")


@dataclasses.dataclass(frozen=True, slots=True)
class PriceTable:
    """What a machine costs an hour."""

    date: str
    """When it was looked up."""
    types: dict[str, dict[str, float]]
    """Cloud to type to $/hour."""
    regions: dict[str, dict[str, float]]
    """Cloud to region to factor, where a region is dearer."""

    def hourly_usd(self, cloud: Cloud, kind: str, region: str) -> float | None:
        """$/hour of a machine; None when its type is not in the table."""
        if cloud == "ours":
            return 0.0
        price = self.types[cloud].get(kind)
        return None if price is None else price * self.regions[cloud].get(region, 1.0)


@functools.cache
def price_table() -> PriceTable:
    """Read the table that lies beside this module."""
    content = json.loads(_FILE.read_text(encoding="utf-8"))
    clouds = content["clouds"]
    return PriceTable(
        content["date"],
        {name: dict(cloud["types"]) for name, cloud in clouds.items()},
        {name: dict(cloud["regions"]) for name, cloud in clouds.items()},
    )
