"""gaxx:index:Quorum: a fleet goes on when enough of its nodes are enrolled; machines of the others are given up."""

import typing
from collections.abc import Mapping

from components.errors import NodeError
from components.local_machine.machine import Machine
from components.provider.context import Context
from components.provider.resource import Created, Difference, Property, Resource
from components.provider.wire import Properties
from components.vendors import vendor


class Quorum(Resource):
    """Comes after all enrolments of a fleet that declares `enough`, and before the inventory."""

    pulumi_type = "gaxx:index:Quorum"
    description = "Enough of a fleet's nodes are enrolled; the machines of the others are deleted, to be made anew."
    inputs: typing.ClassVar[Mapping[str, Property]] = {
        "fleet": Property("string", "name of the fleet", replaces=True),
        "cloud": Property("string", "its cloud", replaces=True),
        "stackKey": Property("string", "the stack's key"),
        "backendId": Property("string", "id of the Pulumi backend: nobody else's machines are touched"),
        "enough": Property("integer", "how many enrolled nodes are enough"),
        "nodes": Property(
            "array", "all nodes: node, machineId, enrolled, reason", items=Property("object", "one node")
        ),
    }
    outputs: typing.ClassVar[Mapping[str, Property]] = {
        "missing": Property("array", "nodes that were given up", items=Property("string", "a name")),
    }
    volatile = frozenset({"missing"})

    def drift(self, context: Context, state: Properties) -> Difference:
        """What was given up is tried again, so it is judged again."""
        del context
        return Difference(updates=("missing",) if state.get("missing") else ())

    async def create(self, context: Context, inputs: Properties) -> Created:
        """Judge."""
        return Created(inputs["fleet"], await self._judged(context, inputs))

    async def update(self, context: Context, resource_id: str, state: Properties, news: Properties) -> Properties:
        """Judge again."""
        del resource_id, state
        return await self._judged(context, news)

    async def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        """It exists in the state only."""

    async def _judged(self, context: Context, inputs: Properties) -> Properties:
        missing = [node for node in inputs["nodes"] if not node["enrolled"]]
        enrolled = len(inputs["nodes"]) - len(missing)
        standing = f"{enrolled} of {len(inputs['nodes'])} nodes are enrolled, and {int(inputs['enough'])} are enough"
        if enrolled < inputs["enough"]:
            reasons = "; ".join(node["reason"] for node in missing)
            raise NodeError(inputs["fleet"], f"{standing}: {reasons}", hint="the next `pulumi up` tries them again")
        for node in missing:
            removed = await self._removed(context, inputs, node)
            await context.warn(
                f"{node['reason']}; {standing}, so it goes on without {node['node']}. {removed}; "
                "the next `pulumi up` makes another"
            )
        return {"missing": [node["node"] for node in missing]}

    async def _removed(self, context: Context, inputs: Properties, node: Properties) -> str:
        """Delete the machine of a node that is of no use; say what was done. The next refresh finds it gone."""
        machine_id = node["machineId"]
        if not machine_id:
            return "It has no machine"
        if inputs["cloud"] in {"local", "qemu"}:
            await context.blocking(Machine.of(inputs["stackKey"], node["node"], machine_id).remove)
            return f"Its machine {machine_id} was deleted"
        api = vendor(inputs["cloud"])
        if api is None:
            return f"Its machine {machine_id} still stands: the token of {inputs['cloud']} is not in the environment"
        marks = {"project": context.project, "backend_id": inputs["backendId"], "stack": context.stack}
        for found in await context.blocking(api.machines):
            if found.id == machine_id and found.of(**marks):
                await context.blocking(api.delete, found)
                return f"Its machine {found.label} ({found.id}) was deleted"
        return f"Its machine {machine_id} is gone"
