"""gaxx:index:Sweep: removes, last in a destroy, whatever carries the stack's mark and is in no state."""

import functools
import secrets
import typing
from collections.abc import Mapping

from components.local_machine import addresses
from components.local_machine.machine import machines, remove_all
from components.places import authority_file, inventory_cache, previous_authority_file
from components.provider import announced_keys, inventory_document, standing
from components.provider.context import Context
from components.provider.resource import Created, Difference, Property, Resource
from components.provider.wire import Properties
from components.vendors import KINDS, Found, Vendor, VendorError, vendor

_CLOUD = Property("string", "linode or vultr")
_UNIQUE_LABELS = "linode"
"""Whose labels are unique in an account."""
_SEED_BYTES = 8

_found: dict[str, tuple[Found, ...]] = {}
"""By stack: what carries its marks at the vendor, as this operation's refresh found it."""


class Sweep(Resource):
    """All machines depend on it, so its delete comes after theirs: what is still there is an orphan."""

    pulumi_type = "gaxx:index:Sweep"
    description = "Removes, last in a destroy, machines and leftovers of the stack that no state knows of."
    inputs: typing.ClassVar[Mapping[str, Property]] = {
        "stackKey": Property("string", "the stack's key: the folder of its local machines", replaces=True),
        "backendId": Property("string", "id of the Pulumi backend: nobody else's machines are touched"),
        "clouds": Property(
            "array", "clouds with an account of their own that the stack uses", required=False, items=_CLOUD
        ),
    }
    outputs: typing.ClassVar[Mapping[str, Property]] = {
        "asked": Property("array", "clouds that the stack has ever used", items=_CLOUD),
        "seed": Property("string", "of labels: renewed when a failed create has left something; empty: nobody looks"),
        "lost": Property("array", "ids of what no record knew", items=Property("string", "kind and id")),
    }
    volatile = frozenset({"asked", "seed", "lost"})

    def drift(self, context: Context, state: Properties) -> Difference:
        """A create that failed and yet created has used up its label: the next one needs another."""
        lost = self._lost(context) - set(state.get("lost") or ())
        return Difference(updates=("seed",) if lost or self._seedless(state) else ())

    async def read(self, context: Context, resource_id: str, state: Properties) -> Properties | None:
        """Look what carries the stack's marks."""
        del resource_id
        api = vendor(_UNIQUE_LABELS) if _UNIQUE_LABELS in (state.get("asked") or ()) else None
        if api is not None:
            try:
                found = [
                    *await standing.machines(context, api),
                    *await context.blocking(api.firewalls),
                    *await context.blocking(api.networks),
                ]
            except VendorError as error:
                await context.debug(error.message)
            else:
                marks = {"project": context.project, "backend_id": state["backendId"], "stack": context.stack}
                _found[context.stack] = tuple(one for one in found if one.of(**marks))
        return state

    async def create(self, context: Context, inputs: Properties) -> Created:
        """It only marks the place in the order of things."""
        del context
        asked = inputs.get("clouds") or []
        return Created(inputs["stackKey"], {"asked": asked, "seed": _seed(asked), "lost": []})

    async def update(self, context: Context, resource_id: str, state: Properties, news: Properties) -> Properties:
        """Remember clouds that are no longer declared: something may be left there."""
        del resource_id
        asked = sorted({*(state.get("asked") or ()), *(news.get("clouds") or ())})
        lost, before = self._lost(context), set(state.get("lost") or ())
        kept = state.get("seed") and not lost - before
        return {"asked": asked, "seed": state["seed"] if kept else _seed(asked), "lost": sorted(lost | before)}

    async def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        """Remove orphaned local machines, address claims, the embedded authority, a cached inventory.

        An update that fails is ended while the inventory may be being written: then no state knows of that.
        """
        del resource_id
        for name in state.get("asked") or ():
            await self._sweep_cloud(context, name, state["backendId"])
        key = state["stackKey"]
        for machine in await context.blocking(machines, key):
            await context.warn(f"removing {machine.node}, which no state knew of")
            await context.blocking(machine.remove)
        await context.blocking(remove_all, key)
        await context.blocking(addresses.release, key)
        path = authority_file(state["backendId"], context.project, context.stack)
        for one in (path, previous_authority_file(path)):
            await context.blocking(functools.partial(one.unlink, missing_ok=True))
        for authority in context.trusted if context.authority_text else ():
            await context.blocking(announced_keys.forget_all, authority)
        cached = inventory_cache(state["backendId"], context.project, context.stack)
        await context.blocking(inventory_document.remove, cached)

    def _lost(self, context: Context) -> set[str]:
        found = _found.get(context.stack, ())
        return {f"{one.kind} {one.id}" for one in found if not standing.is_known(context, one.kind, one.id)}

    def _seedless(self, state: Properties) -> bool:
        """Whether somebody can look now who could not before."""
        return not state.get("seed") and bool(_seed(state.get("asked") or ()))

    async def _sweep_cloud(self, context: Context, name: str, backend_id: str) -> None:
        """Remove what carries all marks of this stack; machines first, since what is in use cannot be deleted."""
        api = vendor(name)
        if api is None:
            await context.warn(f"{name} was not asked for leftovers: its token is not in the environment")
            return

        def mine(list_all: typing.Callable[[], list[Found]]) -> list[Found]:
            marks = {"project": context.project, "backend_id": backend_id, "stack": context.stack}
            return [found for found in list_all() if found.of(**marks)]

        for kind in KINDS:
            await self._remove(context, api, await context.blocking(mine, functools.partial(api.all, kind)))

    async def _remove(self, context: Context, api: Vendor, leftovers: list[Found]) -> None:
        for found in leftovers:
            await context.warn(f"removing {api.name}'s {found.kind} {found.label or found.id}, which no state knew of")
            await context.blocking(api.delete, found)


def _seed(clouds: typing.Collection[str]) -> str:
    """A new seed; empty where none is needed, and where nobody could see that it is used up."""
    if _UNIQUE_LABELS not in clouds or vendor(_UNIQUE_LABELS) is None:
        return ""
    return secrets.token_hex(_SEED_BYTES)
