"""What stands at a vendor, listed once for all who ask while an operation begins, and what of it records know."""

import asyncio
import dataclasses
import time

from components.provider.context import Context
from components.vendors import Found, Kind, Vendor

_FRESH_S = 5.0
"""A refresh asks about each machine at the same moment: one list answers them all."""


@dataclasses.dataclass(slots=True)
class _Listing:
    lock: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)
    taken: float = float("-inf")
    machines: list[Found] = dataclasses.field(default_factory=list)


_listings: dict[str, _Listing] = {}
_known: dict[str, set[tuple[Kind, str]]] = {}
"""By stack: what records in the state have said to be theirs."""


async def machines(context: Context, api: Vendor) -> list[Found]:
    """All machines of the account, as of a few seconds ago at most; raise VendorError."""
    listing = _listings.setdefault(api.name, _Listing())
    async with listing.lock:
        if time.monotonic() - listing.taken > _FRESH_S:
            listing.machines = await context.blocking(api.machines)
            listing.taken = time.monotonic()
        return listing.machines


async def exists(context: Context, api: Vendor, machine_id: str) -> bool:
    """Whether a machine is still there; raise VendorError."""
    if any(found.id == machine_id for found in await machines(context, api)):
        return True
    # Lists have pages, and what moves between two of them is on neither: the last word is the machine's own.
    return await context.blocking(api.exists, machine_id)


def known(context: Context, kind: Kind, thing: str) -> None:
    """Note that a record of the state knows of a thing."""
    _known.setdefault(context.stack, set()).add((kind, thing))


def is_known(context: Context, kind: Kind, thing: str) -> bool:
    """Whether any record has said so in this operation."""
    return (kind, thing) in _known.get(context.stack, set())
