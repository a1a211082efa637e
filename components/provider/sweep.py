"""gaxx:index:Sweep: removes, last in a destroy, whatever carries the stack's mark and is in no state."""

import typing
from collections.abc import Mapping

from components.local_machine import addresses
from components.local_machine.machine import machines, remove_all
from components.places import authority_file, inventory_cache
from components.provider import announced_keys, inventory_document
from components.provider.context import Context
from components.provider.resource import Created, Property, Resource
from components.provider.wire import Properties
from components.vendors import Found, Vendor, vendor

_CLOUD = Property("string", "linode or vultr")


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
    }

    async def create(self, context: Context, inputs: Properties) -> Created:
        """It only marks the place in the order of things."""
        del context
        return Created(inputs["stackKey"], {"asked": inputs.get("clouds") or []})

    async def update(self, context: Context, resource_id: str, state: Properties, news: Properties) -> Properties:
        """Remember clouds that are no longer declared: something may be left there."""
        del context, resource_id
        return {"asked": sorted({*(state.get("asked") or ()), *(news.get("clouds") or ())})}

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
        await context.blocking(lambda: path.unlink(missing_ok=True))
        if context.authority_text:
            await context.blocking(announced_keys.forget_all, context.authority)
        cached = inventory_cache(state["backendId"], context.project, context.stack)
        await context.blocking(inventory_document.remove, cached)

    async def _sweep_cloud(self, context: Context, name: str, backend_id: str) -> None:
        """Remove what carries all marks of this stack; machines first, since a firewall in use cannot be deleted."""
        api = vendor(name)
        if api is None:
            await context.warn(f"{name} was not asked for leftovers: its token is not in the environment")
            return

        def mine(list_all: typing.Callable[[], list[Found]]) -> list[Found]:
            marks = {"project": context.project, "backend_id": backend_id, "stack": context.stack}
            return [found for found in list_all() if found.of(**marks)]

        await self._remove(context, api, await context.blocking(mine, api.machines))
        await self._remove(context, api, await context.blocking(mine, api.firewalls))

    async def _remove(self, context: Context, api: Vendor, leftovers: list[Found]) -> None:
        for found in leftovers:
            await context.warn(f"removing {api.name}'s {found.kind} {found.label or found.id}, which no state knew of")
            await context.blocking(api.delete, found)
