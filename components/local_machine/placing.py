"""Where a machine on this computer stands: what an interrupted create left, or anew on an address of its own."""

import asyncio
import dataclasses
import datetime as dt
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from components.local_machine import addresses
from components.local_machine.machine import Machine

_BANNER = b"SSH-"


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A machine and what it was made with."""

    machine: Machine
    address: str
    """Of this computer: 127.x.y.z."""
    created: str
    """RFC 3339, UTC."""
    adopted: bool


def take(inputs: Mapping[str, Any], ports: tuple[int, ...]) -> Place:
    """Adopt what was booted from the same user-data; else remove what is in the way and claim an address.

    `inputs` are those of a machine's resource: stackKey, node, fleet, index, userData; `ports` must be free there.
    """
    machine = Machine.of(inputs["stackKey"], inputs["node"], "")
    marker = machine.marker()
    if marker is not None and marker.get("userData") == digest(inputs["userData"]):
        known = Machine(machine.node, machine.root, marker["id"])
        return Place(known, marker["address"], marker["created"], adopted=True)
    if machine.root.exists():
        Machine(machine.node, machine.root, (marker or {}).get("id", "")).remove()
    address = addresses.claim(inputs["stackKey"], inputs["fleet"], inputs["index"], inputs["node"], ports)
    fresh = Machine.of(inputs["stackKey"], inputs["node"], secrets.token_hex(6))
    return Place(fresh, address, dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), adopted=False)


def digest(user_data: str) -> str:
    """What a machine keeps of the user-data that it was booted from."""
    return hashlib.sha256(user_data.encode()).hexdigest()


async def is_there(resource_id: str, stack_key: str, node: str) -> bool:
    """Whether the machine's folder is there, and that of this machine."""
    marker = await asyncio.to_thread(Machine.of(stack_key, node, resource_id).marker)
    return marker is not None and marker.get("id") == resource_id


async def sshd_answers(address: str, port: int, *, limit_s: float) -> bool:
    """Whether an sshd speaks: that a connection is accepted says nothing where somebody forwards it."""
    try:
        async with asyncio.timeout(limit_s):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                return await reader.readexactly(len(_BANNER)) == _BANNER
            finally:
                writer.close()
    except (OSError, asyncio.IncompleteReadError):
        return False
