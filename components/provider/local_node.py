"""gaxx:index:LocalNode: one machine of the `local` cloud."""

import asyncio
import os
import typing
from collections.abc import Mapping

from components.errors import NodeError
from components.local_machine import placing
from components.local_machine.machine import SSH_PORT, BootRequest, Machine
from components.ports import Port
from components.provider.context import Context
from components.provider.resource import Created, Difference, Property, Resource
from components.provider.wire import Properties

_PORTS = (SSH_PORT, int(Port.AGENT), int(Port.METRICS))


class LocalNode(Resource):
    """A folder, an sshd, and later an agent, as processes of an unprivileged account."""

    pulumi_type = "gaxx:index:LocalNode"
    description = "A machine that is processes on this computer: its own folder, sshd and agent, on its own 127.x.y.z."
    inputs: typing.ClassVar[Mapping[str, Property]] = {
        "node": Property("string", "name of the node, unique in the stack", replaces=True),
        "fleet": Property("string", "name of its fleet", replaces=True),
        "index": Property("integer", "position in the fleet, from 1", replaces=True),
        "stackKey": Property("string", "the stack's key: the folder that its machines share", replaces=True),
        "userData": Property("string", "cloud-config that the machine is booted from", secret=True, replaces=True),
        "openFiles": Property("integer", "limit of open files of every process of the machine", replaces=True),
        "memoryLimitBytes": Property("integer", "limit of memory of one item", replaces=True),
        "tags": Property("array", "tags as gaxx:key=value", required=False, items=Property("string", "a tag")),
    }
    outputs: typing.ClassVar[Mapping[str, Property]] = {
        "machineId": Property("string", "id of this machine; a machine made anew has another"),
        "address": Property("string", "its loopback address"),
        "sshPort": Property("integer", "where its sshd listens"),
        "sshUser": Property("string", "the account that it runs as"),
        "helper": Property("string", "command that runs the enrolment helper"),
        "created": Property("string", "when it was made: RFC 3339, UTC"),
        "running": Property("boolean", "whether its sshd answers"),
    }
    asked_once = frozenset({"userData"})
    volatile = frozenset({"running"})

    def drift(self, context: Context, state: Properties) -> Difference:
        """A machine that does not run is started again, with what it had."""
        del context
        return Difference(updates=() if state.get("running", True) else ("running",))

    async def create(self, context: Context, inputs: Properties) -> Created:
        """Boot it; adopt one that an interrupted create left, if it was booted from the same user-data."""
        place = await context.blocking(placing.take, inputs, _PORTS)
        machine = place.machine
        await context.status(f"{'adopting the machine' if place.adopted else 'booting'} on {place.address}")
        try:
            await context.blocking(self._boot, machine, place.address, place.created, inputs)
        except BaseException:
            # Nothing half-made stays behind a create that failed.
            await asyncio.shield(context.blocking(machine.remove))
            raise
        return Created(
            machine.id,
            {
                "machineId": machine.id,
                "address": place.address,
                "sshPort": SSH_PORT,
                "sshUser": machine.account_name(),
                "helper": machine.helper,
                "created": place.created,
                "running": True,
            },
        )

    async def read(self, context: Context, resource_id: str, state: Properties) -> Properties | None:
        """Gone when its folder is gone; dead when its sshd does not answer."""
        del context
        if not await placing.is_there(resource_id, state["stackKey"], state["node"]):
            return None
        return {**state, "running": await placing.sshd_answers(state["address"], SSH_PORT, limit_s=5)}

    async def update(self, context: Context, resource_id: str, state: Properties, news: Properties) -> Properties:
        """Start it again. What changes the machine itself replaces it; tags are only in the state."""
        machine = Machine.of(news["stackKey"], news["node"], resource_id)
        await context.status(f"starting on {state['address']}")
        await context.blocking(self._boot, machine, state["address"], state["created"], news)
        return {**{name: state[name] for name in self.outputs if name in state}, "running": True}

    async def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        """End its processes and delete its folder."""
        await context.status("stopping")
        await context.blocking(Machine.of(state["stackKey"], state["node"], resource_id).remove)

    def _boot(self, machine: Machine, address: str, created: str, inputs: Properties) -> None:
        if not os.access("/usr/sbin/sshd", os.X_OK):
            raise NodeError(machine.node, "/usr/sbin/sshd is missing", hint="install openssh-server (make setup)")
        machine.boot(
            BootRequest(
                address=address,
                user_data=inputs["userData"],
                user_data_digest=placing.digest(inputs["userData"]),
                created=created,
                open_files=inputs["openFiles"],
                memory_limit_bytes=inputs["memoryLimitBytes"],
            )
        )
