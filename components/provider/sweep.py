"""gaxx:index:Sweep: removes, last in a destroy, whatever carries the stack's mark and is in no state."""

import typing
from collections.abc import Mapping

from components.local_machine import addresses
from components.local_machine.machine import machines, remove_all
from components.places import authority_file, inventory_cache
from components.provider import inventory_document
from components.provider.context import Context
from components.provider.resource import Created, Property, Resource
from components.provider.wire import Properties


class Sweep(Resource):
    """All machines depend on it, so its delete comes after theirs: what is still there is an orphan."""

    pulumi_type = "gaxx:index:Sweep"
    description = "Removes, last in a destroy, machines and leftovers of the stack that no state knows of."
    inputs: typing.ClassVar[Mapping[str, Property]] = {
        "stackKey": Property("string", "the stack's key: the folder of its local machines", replaces=True),
        "backendId": Property("string", "id of the Pulumi backend: nobody else's machines are touched"),
    }
    outputs: typing.ClassVar[Mapping[str, Property]] = {}

    async def create(self, context: Context, inputs: Properties) -> Created:
        """It only marks the place in the order of things."""
        del context
        return Created(inputs["stackKey"], {})

    async def update(self, context: Context, resource_id: str, state: Properties, news: Properties) -> Properties:
        """Nothing to change."""
        del context, resource_id, state, news
        return {}

    async def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        """Remove orphaned local machines, address claims, the embedded authority, a cached inventory.

        An update that fails is ended while the inventory may be being written: then no state knows of that.
        """
        del resource_id
        key = state["stackKey"]
        for machine in await context.blocking(machines, key):
            await context.warn(f"removing {machine.node}, which no state knew of")
            await context.blocking(machine.remove)
        await context.blocking(remove_all, key)
        await context.blocking(addresses.release, key)
        path = authority_file(state["backendId"], context.project, context.stack)
        await context.blocking(lambda: path.unlink(missing_ok=True))
        cached = inventory_cache(state["backendId"], context.project, context.stack)
        await context.blocking(inventory_document.remove, cached)
