"""gaxx:index:QemuNode: one virtual machine of the `qemu` cloud."""

import asyncio
import time
import typing
from collections.abc import Mapping

from components.cloudinit.user_data import BOOTSTRAP_USER, HELPER_COMMAND
from components.errors import ImageError, NodeError
from components.local_machine import placing
from components.local_machine.machine import Machine
from components.provider.context import Context
from components.provider.resource import Created, Difference, Property, Resource
from components.provider.wire import Properties
from components.qemu_machine import machine as qemu
from components.qemu_machine.searches import ImageSearches

BOOT_LIMIT_S = 600.0
"""Until its sshd answers; emulation on a busy computer takes minutes."""
_SHUT_DOWN_LIMIT_S = 20.0
_POLL_S = 0.5
_SEARCHES = ImageSearches()


class QemuNode(Resource):
    """A virtual machine: an overlay of an image, a seed disk with its user-data, and QEMU."""

    pulumi_type = "gaxx:index:QemuNode"
    description = "A virtual machine on this computer, reached over SSH at its own 127.x.y.z."
    inputs: typing.ClassVar[Mapping[str, Property]] = {
        "node": Property("string", "name of the node, unique in the stack", replaces=True),
        "fleet": Property("string", "name of its fleet", replaces=True),
        "index": Property("integer", "position in the fleet, from 1", replaces=True),
        "stackKey": Property("string", "the stack's key: the folder that its machines share", replaces=True),
        "userData": Property("string", "cloud-config that the machine is booted from", secret=True, replaces=True),
        "image": Property("string", "its image: a name, a path, or a URL with #sha256=", replaces=True),
        "memoryBytes": Property("integer", "its memory", replaces=True),
        "cpus": Property("integer", "its processors", replaces=True),
        "tags": Property("array", "tags as gaxx:key=value", required=False, items=Property("string", "a tag")),
    }
    outputs: typing.ClassVar[Mapping[str, Property]] = {
        "machineId": Property("string", "id of this machine; a machine made anew has another"),
        "address": Property("string", "as the machine sees itself"),
        "sshHost": Property("string", "this computer's address that leads to its sshd"),
        "sshPort": Property("integer", "and the port"),
        "sshUser": Property("string", "the bootstrap user"),
        "helper": Property("string", "command that runs the enrolment helper"),
        "created": Property("string", "when it was made: RFC 3339, UTC"),
        "running": Property("boolean", "whether its sshd answers"),
    }
    asked_once = frozenset({"userData"})
    volatile = frozenset({"running"})

    def drift(self, context: Context, state: Properties) -> Difference:
        """A machine that does not run is started again, with the disk it had."""
        del context
        return Difference(updates=() if state.get("running", True) else ("running",))

    async def create(self, context: Context, inputs: Properties) -> Created:
        """Boot it; adopt one that an interrupted create left, if it was booted from the same user-data."""
        place = await context.blocking(placing.take, inputs, (qemu.SSH_PORT,))
        try:
            await self._boot(context, place.machine, place.address, place.created, inputs)
        except BaseException:
            # Nothing half-made stays behind a create that failed.
            await asyncio.shield(context.blocking(place.machine.remove))
            raise
        return Created(
            place.machine.id,
            {
                "machineId": place.machine.id,
                "address": qemu.GUEST_ADDRESS,
                "sshHost": place.address,
                "sshPort": qemu.SSH_PORT,
                "sshUser": BOOTSTRAP_USER,
                "helper": HELPER_COMMAND,
                "created": place.created,
                "running": True,
            },
        )

    async def read(self, context: Context, resource_id: str, state: Properties) -> Properties | None:
        """Gone when its folder is gone; dead when its sshd does not answer."""
        del context
        if not await placing.is_there(resource_id, state["stackKey"], state["node"]):
            return None
        return {**state, "running": await _answers(state["sshHost"])}

    async def update(self, context: Context, resource_id: str, state: Properties, news: Properties) -> Properties:
        """Start it again. What changes the machine itself replaces it; tags are only in the state."""
        machine = Machine.of(news["stackKey"], news["node"], resource_id)
        if not await _answers(state["sshHost"]):
            # One that runs and does not answer would hold disk and port.
            await context.blocking(machine.stop)
        await self._boot(context, machine, state["sshHost"], state["created"], news)
        return {**{name: state[name] for name in self.outputs if name in state}, "running": True}

    async def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        """Power it off, then remove it."""
        await context.status("powering off")
        machine = Machine.of(state["stackKey"], state["node"], resource_id)
        if machine.root.exists() and await context.blocking(qemu.shut_down, machine):
            deadline = time.monotonic() + _SHUT_DOWN_LIMIT_S
            # The process is another's child: no event tells that it has ended.
            while time.monotonic() < deadline and (await context.blocking(qemu.look, machine))[0]:  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)
        await context.blocking(machine.remove)

    async def _boot(self, context: Context, machine: Machine, address: str, created: str, inputs: Properties) -> None:
        try:
            image = await _SEARCHES.find(inputs["image"], context.status)
        except ImageError as error:
            raise NodeError(machine.node, error.message, hint=error.hint) from error
        await context.status(f"booting behind {address}:{qemu.SSH_PORT}")
        request = qemu.BootRequest(
            address=address,
            user_data=inputs["userData"],
            user_data_digest=placing.digest(inputs["userData"]),
            created=created,
            image=image,
            memory_bytes=inputs["memoryBytes"],
            cpus=inputs["cpus"],
        )
        await context.blocking(qemu.boot, machine, request)
        begin = time.monotonic()
        while not await _answers(address):
            running, serial = await context.blocking(qemu.look, machine)
            if not running:
                raise NodeError(machine.node, f"the machine has ended while it booted: {serial}")
            if time.monotonic() - begin > BOOT_LIMIT_S:
                raise NodeError(machine.node, f"no sshd answers after {BOOT_LIMIT_S:.0f} s: {serial}")
            await asyncio.sleep(_POLL_S)
        await context.status(f"sshd answers after {time.monotonic() - begin:.0f} s")


async def _answers(address: str) -> bool:
    # QEMU accepts a connection whether or not anybody listens in the guest.
    return await placing.sshd_answers(address, qemu.SSH_PORT, limit_s=10)
