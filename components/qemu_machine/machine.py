"""The provider's side of a virtual machine: what it is made of, and QEMU's command line."""

import dataclasses
import functools
import grp
import json
import pathlib
import typing

from components import account_script
from components.local_machine.machine import Machine
from components.qemu_machine.images import Image

PROGRAM = "qemu-system-x86_64"
SSH_PORT = 2222
"""Where this computer finds the guest's port 22: 22 itself is root's to bind."""
GUEST_NETWORK = "192.0.2.0/24"
"""A documentation range: nothing of this computer counts as trusted in a guest that trusts 10.0.0.0/8."""
GUEST_ADDRESS = "192.0.2.15"
"""The first that QEMU's DHCP server hands out."""
DISK_BYTES = 8 * 1024**3
"""At least; a larger image's machines have what it has."""
_SCRIPT = pathlib.Path(__file__).parent / "script.py"


@dataclasses.dataclass(frozen=True, slots=True)
class BootRequest:
    """What a virtual machine is booted with."""

    address: str
    """Of this computer: 127.x.y.z."""
    user_data: str = dataclasses.field(repr=False)
    user_data_digest: str
    created: str
    """RFC 3339, UTC."""
    image: Image
    memory_bytes: int
    cpus: int


def boot(machine: Machine, request: BootRequest) -> bool:
    """Make and start it unless it runs; return whether it had to be started. Raise NodeError."""
    who = account_script.account(machine.node)
    account_script.make_parent(machine.root.parent, who)
    answer = _call(
        machine,
        {
            "verb": "boot",
            "image": str(request.image.disk),
            "files": [str(path) for path in request.image.files],
            "diskBytes": DISK_BYTES,
            "seed": {
                "user-data": request.user_data,
                "meta-data": json.dumps({"instance-id": machine.id, "local-hostname": machine.node}),
            },
            "marker": {
                "id": machine.id,
                "address": request.address,
                "created": request.created,
                "userData": request.user_data_digest,
            },
            "argv": command_line(machine, request),
        },
    )
    return bool(answer["started"])


def command_line(machine: Machine, request: BootRequest) -> list[str]:
    """QEMU's, with the machine's folder in full: that is how whoever stops it finds it."""
    root = machine.root
    return [
        PROGRAM,
        *("-name", f"{machine.node},process={machine.node}"),
        *("-machine", "q35", *_accelerator(machine.node)),
        *("-smp", str(request.cpus), "-m", f"{request.memory_bytes >> 20}M"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-daemonize"),
        *("-pidfile", f"{root}/qemu.pid", "-serial", f"file:{root}/serial.log"),
        # Relative: a socket's name may not exceed 107 bytes. QEMU binds it before it leaves the folder.
        *("-qmp", "unix:monitor.sock,server=on,wait=off"),
        *_kernel(request.image),
        *("-drive", f"file={root}/disk.qcow2,if=virtio,format=qcow2,discard=unmap"),
        *("-drive", f"file={root}/seed.iso,if=virtio,format=raw,readonly=on"),
        *("-netdev", f"user,id=net0,net={GUEST_NETWORK},hostfwd=tcp:{request.address}:{SSH_PORT}-:22"),
        *("-device", "virtio-net-pci,netdev=net0", "-device", "virtio-rng-pci"),
    ]


def _kernel(image: Image) -> tuple[str, ...]:
    """QEMU's options for what is booted."""
    if image.kernel is None:
        # The disk's boot loader knows kernel and root; cloud-init finds the seed by its label, cidata.
        return ("-boot", "order=c")
    append = "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet ds=nocloud"
    return ("-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", append)


def look(machine: Machine) -> tuple[bool, str]:
    """Whether QEMU runs, and the last words of the machine's console."""
    answer = _call(machine, {"verb": "look"})
    return bool(answer["running"]), " | ".join(answer["serial"]) or "the console said nothing"


def shut_down(machine: Machine) -> bool:
    """Ask the guest to power itself off; return whether it could be asked."""
    return bool(_call(machine, {"verb": "shut-down"})["pressed"])


def _call(machine: Machine, request: dict[str, typing.Any]) -> dict[str, typing.Any]:
    body = {**request, "root": str(machine.root), "id": machine.id}
    return account_script.run(machine.node, _SCRIPT, body, group=_kvm_group())


@functools.cache
def _kvm_group() -> str:
    """The group that may use KVM, where there is one: udev gives it the device."""
    try:
        return grp.getgrnam("kvm").gr_name
    except KeyError:
        return ""


@functools.cache
def _accelerator(node: str) -> tuple[str, ...]:
    """QEMU's options for the fastest way to run a guest here."""
    kvm = account_script.run(node, _SCRIPT, {"verb": "accelerate", "root": "/", "id": ""}, group=_kvm_group())["kvm"]
    return ("-accel", "kvm", "-cpu", "host") if kvm else ("-accel", "tcg,thread=multi", "-cpu", "max")
