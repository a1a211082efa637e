"""What holds for each cloud before anything is declared: defaults, limits, machine types. One row a cloud."""

import dataclasses
import re
import typing

from components.inventory import Reach

Cloud = typing.Literal["local", "qemu", "linode", "vultr"]

_MIB = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class MachineType:
    """A size that we define ourselves (a vendor's types are the vendor's)."""

    slots: int
    """How many items it executes at once."""
    memory_limit_bytes: int
    open_files_limit: int


@dataclasses.dataclass(frozen=True, slots=True)
class CloudDefaults:
    """A cloud's row of the table."""

    paid: bool
    """Forgotten machines cost money: TTL, operators and an authority must be declared."""
    type: str
    image: str
    regions: tuple[str, ...]
    """Empty: must be declared."""
    reach: Reach
    ssh_cidrs: tuple[str, ...]
    """Empty: must be declared."""
    nodes_limit: int
    """Of one fleet."""
    type_pattern: str
    type_example: str
    image_pattern: str
    image_example: str
    on_this_computer: bool = False
    """Its machines have loopback addresses: no jump host leads to them."""
    image_files: bool = False
    """Whether an image may also be a path on this computer or a URL with its sha256."""
    user_data_limit_bytes: int = 0
    """0: none."""
    types: dict[str, MachineType] = dataclasses.field(default_factory=dict)
    """Empty: any type that fits the pattern; the vendor refuses the others."""


TRUSTED_CIDRS = ("10.0.0.0/8",)

_SIZES = {
    "small": MachineType(slots=2, memory_limit_bytes=1024 * _MIB, open_files_limit=1024),
    "medium": MachineType(slots=4, memory_limit_bytes=2048 * _MIB, open_files_limit=4096),
    "large": MachineType(slots=8, memory_limit_bytes=8192 * _MIB, open_files_limit=16384),
}

CLOUDS: dict[Cloud, CloudDefaults] = {
    "local": CloudDefaults(
        paid=False,
        type="small",
        image="host",
        regions=("local",),
        reach="direct",
        ssh_cidrs=("127.0.0.0/8",),
        nodes_limit=250,
        type_pattern=r"[a-z]+",
        type_example="small",
        image_pattern=r"host",
        image_example="host",
        on_this_computer=True,
        types=_SIZES,
    ),
    "qemu": CloudDefaults(
        paid=False,
        type="small",
        image="debian-12",
        regions=("local",),
        reach="ssh",
        ssh_cidrs=("127.0.0.0/8", "192.0.2.2/32"),
        nodes_limit=16,
        type_pattern=r"[a-z]+",
        type_example="small",
        image_pattern=r"[a-z0-9][a-z0-9.-]*[0-9][a-z0-9.-]*",
        image_example="debian-12",
        on_this_computer=True,
        image_files=True,
        types=_SIZES,
    ),
    "linode": CloudDefaults(
        paid=True,
        type="g6-standard-1",
        image="linode/debian12",
        regions=(),
        reach="ssh",
        ssh_cidrs=(),
        nodes_limit=500,
        type_pattern=r"g[0-9]+-[a-z0-9-]+",
        type_example="g6-standard-2",
        image_pattern=r"(linode/[a-z]+[0-9][a-z0-9.-]*|private/[0-9]+)",
        image_example="linode/debian12",
        user_data_limit_bytes=16 * 1024,
    ),
    "vultr": CloudDefaults(
        paid=True,
        type="vc2-1c-1gb",
        # Vultr names its images by number; this is Debian 12 x64.
        image="2136",
        regions=(),
        reach="ssh",
        ssh_cidrs=(),
        nodes_limit=500,
        type_pattern=r"[a-z][a-z0-9]*(-[a-z0-9]+)+",
        type_example="vc2-2c-4gb",
        image_pattern=r"[0-9]+",
        image_example="2136",
        user_data_limit_bytes=64 * 1024,
    ),
}


def slots_of(cloud: Cloud, machine_type: str) -> int:
    """How many items a machine executes at once: our own table, else the processors that the vendor's name tells."""
    known = CLOUDS[cloud].types.get(machine_type)
    if known is not None:
        return known.slots
    vultr = re.search(r"-([0-9]+)c(-|$)", machine_type)
    linode = re.fullmatch(r"g[0-9]+-(?:standard|dedicated|nanode)-([0-9]+)", machine_type)
    found = vultr or linode
    return max(1, int(found.group(1))) if found else 1
