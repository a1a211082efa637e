"""gaxx:index:CloudMachine: what we know of a vendor's machine beyond its own resource, and that it is alone."""

import datetime as dt
import typing
from collections.abc import Mapping

from components import naming, rehearsal
from components.cloudinit.user_data import BOOTSTRAP_USER, HELPER_COMMAND
from components.errors import NodeError
from components.ports import Port
from components.provider import standing
from components.provider.context import Context
from components.provider.resource import Created, Property, Resource
from components.provider.wire import Properties
from components.vendors import Found, Vendor, VendorError, vendor

_gone: set[tuple[str, str]] = set()
"""(stack, node) of machines that this operation's refresh did not find any more."""


def is_gone(context: Context, node: str) -> bool:
    """Whether the refresh of this operation found that a node's machine was deleted behind our back."""
    return (context.stack, node) in _gone


class CloudMachine(Resource):
    """The record of a machine: when the vendor made it, and how it is entered."""

    pulumi_type = "gaxx:index:CloudMachine"
    description = "A vendor's machine: when it was made, how it is entered, and that no failed create left another."
    inputs: typing.ClassVar[Mapping[str, Property]] = {
        "node": Property("string", "name of the node", replaces=True),
        "cloud": Property("string", "linode or vultr", replaces=True),
        "machineId": Property("string", "the vendor's id", replaces=True),
        "address": Property("string", "its public address", replaces=True),
        "label": Property("string", "what its label begins with"),
        "tags": Property("array", "its tags", items=Property("string", "a tag")),
        "networkId": Property("string", "the vendor's id of its private network", required=False),
    }
    outputs: typing.ClassVar[Mapping[str, Property]] = {
        "created": Property("string", "when the vendor made it: RFC 3339, UTC"),
        "sshPort": Property("integer", "where its sshd listens"),
        "sshUser": Property("string", "the user that enrols it"),
        "helper": Property("string", "command that runs the enrolment helper"),
    }

    async def create(self, context: Context, inputs: Properties) -> Created:
        """Look it up at the vendor, and remove what an earlier create left that failed after the machine was made."""
        rehearsed = rehearsal.access(inputs["machineId"], inputs["address"])
        entered = rehearsed or rehearsal.Access(int(Port.SSH), BOOTSTRAP_USER, HELPER_COMMAND)
        api = vendor(inputs["cloud"])
        # Made a moment ago: where the token is not ours to see (it may be the plugin's own configuration), that is it.
        created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        if api is not None:
            try:
                created = await self._alone(context, inputs, api) or created
            except VendorError as error:
                # Nothing that the machine needs: what is left behind is the sweep's and reap's to find again.
                await context.warn(f"leftovers could not be looked for: {error.message}")
        return Created(
            inputs["machineId"],
            {
                "created": created,
                "sshPort": entered.ssh_port,
                "sshUser": entered.ssh_user,
                "helper": entered.helper,
            },
        )

    async def read(self, context: Context, resource_id: str, state: Properties) -> Properties | None:
        """Note whether the vendor still has it: a machine made in its place must not boot from the same secrets."""
        standing.known(context, "machine", resource_id)
        if state.get("networkId"):
            standing.known(context, "network", state["networkId"])
        api = vendor(state["cloud"])
        if api is not None:
            try:
                if not await standing.exists(context, api, resource_id):
                    _gone.add((context.stack, state["node"]))
            except VendorError as error:
                # The vendor's own plugin asks the same, and says so when it cannot.
                await context.debug(error.message)
        return state

    async def update(self, context: Context, resource_id: str, state: Properties, news: Properties) -> Properties:
        """Label and tags are only compared."""
        del context, resource_id, news
        return {name: state[name] for name in self.outputs}

    async def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        """The machine is the vendor's plugin's to delete."""

    async def _alone(self, context: Context, inputs: Properties, api: Vendor) -> str:
        """Remove machines that claim to be this node and are not; return when the node was made."""
        mine = naming.parse_tags(inputs["tags"])
        created = ""
        for found in await context.blocking(api.machines, inputs["label"]):
            if found.id == inputs["machineId"]:
                created = found.created
                if not found.running:
                    await self._given_up(context, inputs, api, found)
                continue
            other = naming.parse_tags(found.tags)
            if mine is None or other is None or _node(other) != _node(mine):
                continue
            await context.warn(f"removing {found.label} ({found.id}), which a failed create of this node left")
            await context.blocking(api.delete, found)
        return created

    async def _given_up(self, context: Context, inputs: Properties, api: Vendor, found: Found) -> None:
        """Delete a machine that never booted: the plugin has waited its time for it, and it costs money."""
        await context.blocking(api.delete, found)
        raise NodeError(
            inputs["node"],
            f"the machine {found.label} ({found.id}) was made {found.created} and never booted; it was deleted",
            hint="the next `pulumi up` makes another",
        )


def _node(tags: naming.Tags) -> tuple[object, ...]:
    return (tags.backend_id, tags.project, tags.stack, tags.fleet, tags.index)
