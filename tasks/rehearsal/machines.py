"""Instances as local nodes: booted from exactly the user-data that was sent, on an address of this computer."""

import contextlib
import datetime as dt
import hashlib
import os
import pathlib
import secrets

from components.errors import GaxxError
from components.local_machine import addresses
from components.local_machine.cloud_config import boot_files
from components.local_machine.machine import SSH_PORT, BootRequest, Machine, remove_all
from components.places import nodes_dir
from components.ports import Port
from tasks.rehearsal.store import Instance

_PREFIX = "rehearsal"
_OPEN_FILES = 1024
_PORTS = (SSH_PORT, int(Port.AGENT), int(Port.METRICS))


class Machines:
    """The local nodes of one session. Its methods block."""

    def __init__(self) -> None:
        self.key = f"{_PREFIX}-{os.getpid()}-{secrets.token_hex(3)}"

    @property
    def folder(self) -> pathlib.Path:
        """Below it each machine has a folder that is called as its id."""
        return nodes_dir() / self.key

    def claim(self, instance: Instance) -> str:
        """The address that the instance gets."""
        return addresses.claim(self.key, "rehearsed", instance.slot, instance.id, _PORTS)

    def boot(self, instance: Instance, memory_limit_bytes: int) -> bool:
        """Start it; False when its user-data is none that a process could boot. Raise NodeError."""
        try:
            boot_files(instance.user_data)
        except GaxxError:
            return False
        created = dt.datetime.fromtimestamp(instance.created, dt.UTC).isoformat(timespec="seconds")
        self._machine(instance).boot(
            BootRequest(
                address=instance.address,
                user_data=instance.user_data,
                user_data_digest=hashlib.sha256(instance.user_data.encode()).hexdigest(),
                created=created,
                open_files=_OPEN_FILES,
                memory_limit_bytes=memory_limit_bytes,
                named=False,
            )
        )
        return True

    def remove(self, instance: Instance) -> None:
        """End it and delete what it wrote."""
        self._machine(instance).remove()

    def close(self) -> None:
        """Remove all that is left of the session."""
        remove_all(self.key)
        addresses.release(self.key)

    def _machine(self, instance: Instance) -> Machine:
        return Machine.of(self.key, instance.id, instance.id)


def sweep() -> None:
    """Remove what sessions have left that were killed."""
    folder = nodes_dir()
    for path in sorted(folder.glob(f"{_PREFIX}-*")) if folder.is_dir() else ():
        with contextlib.suppress(ValueError):
            if not _alive(int(path.name.split("-")[1])):
                remove_all(path.name)
                addresses.release(path.name)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
