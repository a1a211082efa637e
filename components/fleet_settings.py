"""One entry of `gaxx:fleets`, read into a frozen value with every fault that it has."""

import dataclasses
import difflib
import ipaddress
import re
import typing
from collections.abc import Mapping

from components import cidrs
from components.cloud_table import CLOUDS, TRUSTED_CIDRS, Cloud, CloudDefaults, MachineType, slots_of
from components.declared_content import FileSpec, read_env, read_files
from components.inventory import Reach
from components.qemu_machine import reference
from components.settings_reader import Reader, shown, suggestion

CLOUD_NAMES: tuple[Cloud, ...] = typing.get_args(Cloud)
REACHES: tuple[Reach, ...] = typing.get_args(Reach)
NAME_LIMIT = 24
_PRIVATE = tuple(ipaddress.IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
_LINODES_OWN = ipaddress.IPv4Network("192.168.128.0/17")
_PREFIXES = range(16, 29)

_NAME = re.compile(r"[a-z](?:-?[a-z0-9])*")
_REGION = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_GROUP = re.compile(r"[a-z][a-z0-9_-]{0,31}")
# To apt a name that ends in - is one to remove.
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.](?::[a-z0-9]+)?(?:=[A-Za-z0-9.+:~-]+)?")
_KEYS = (
    "name",
    "cloud",
    "nodes",
    "enough",
    "type",
    "regions",
    "image",
    "trustedCidrs",
    "sshCidrs",
    "privateNetwork",
    "reach",
    "packages",
    "files",
    "env",
    "groups",
    "idle",
    "slots",
)
_PORT_KEYS = ("ports", "port", "openPorts", "allowPorts", "firewall", "ingress")


@dataclasses.dataclass(frozen=True, slots=True)
class FleetSettings:
    """Nodes declared together."""

    name: str
    cloud: Cloud
    nodes: int
    enough: int
    """How many enrolled nodes are enough to go on."""
    type: str
    regions: tuple[str, ...]
    """Nodes are spread over them in this order."""
    image: str
    trusted_cidrs: tuple[str, ...]
    ssh_cidrs: tuple[str, ...]
    private_network: str
    """IPv4 range of a network of the fleet's own, one in each region; empty: none."""
    reach: Reach
    packages: tuple[str, ...]
    files: tuple[FileSpec, ...]
    """Sorted by path."""
    env: Mapping[str, str]
    """Sorted by name."""
    groups: tuple[str, ...]
    idle_s: int
    """Seconds without work after which the fleet may be reaped, and a machine ends itself; 0: never."""
    slots: int
    """How many items a node executes at once."""

    @property
    def paid(self) -> bool:
        """Whether its machines cost money."""
        return CLOUDS[self.cloud].paid

    @property
    def on_this_computer(self) -> bool:
        """Whether its machines have addresses of this computer."""
        return CLOUDS[self.cloud].on_this_computer

    @property
    def machine(self) -> MachineType | None:
        """Limits of the machine type where it is one of ours; None for a vendor's."""
        return CLOUDS[self.cloud].types.get(self.type)

    def region(self, index: int) -> str:
        """The region of the node with this index (from 1)."""
        return self.regions[(index - 1) % len(self.regions)]

    def triggers(self, index: int) -> tuple[str, ...]:
        """What makes another machine of a node when it changes: image, type, region, and a private network if any.

        Moved to another network, a live machine of Linode's would be off for a while.
        """
        return (self.image, self.type, self.region(index), *filter(None, (self.private_network,)))


def read_fleet(entry: Reader, *, allowed_regions: tuple[str, ...]) -> FleetSettings:
    """Read one fleet; faults are noted in the reader."""
    for key in entry.values:
        if key in _PORT_KEYS:
            entry.add(key, "ports are fixed (22, 8088 and 9091 from the CIDRs given; 6060 is never opened)")
    entry.refuse_unknown((*_KEYS, *(key for key in entry.values if key in _PORT_KEYS)))
    cloud = _cloud(entry)
    row = CLOUDS[cloud]
    nodes = entry.integer("nodes", 1, minimum=0, maximum=row.nodes_limit)
    machine_type = _machine_type(entry, cloud, row)
    reach = typing.cast("Reach", entry.choice("reach", REACHES, row.reach))
    trusted = _trusted_cidrs(entry, reach)
    return FleetSettings(
        name=_name(entry),
        cloud=cloud,
        nodes=nodes,
        enough=entry.integer("enough", nodes, minimum=min(nodes, 1), maximum=nodes),
        type=machine_type,
        regions=_regions(entry, cloud, row, allowed_regions),
        image=_image(entry, cloud, row),
        trusted_cidrs=trusted,
        ssh_cidrs=_ssh_cidrs(entry, cloud, row),
        private_network=_private_network(entry, cloud, row),
        reach=reach,
        packages=entry.checked("packages", (), _matching(_PACKAGE, "a Debian package", "ffmpeg or ffmpeg=7:5.1.6-0")),
        files=read_files(entry),
        env=read_env(entry),
        groups=entry.checked("groups", (), _matching(_GROUP, "a group", "gpu")),
        idle_s=entry.duration_s("idle", 0),
        slots=entry.integer("slots", slots_of(cloud, machine_type), minimum=1, maximum=1024),
    )


def _cloud(entry: Reader) -> Cloud:
    # A slip of the pen must not draw faults after it: judge the rest by the cloud that was most likely meant.
    near = difflib.get_close_matches(str(entry.values.get("cloud", "")), CLOUD_NAMES, n=1)
    meant = near[0] if near else "local"
    entry.choice("cloud", CLOUD_NAMES, "local")
    return typing.cast("Cloud", meant)


def _name(entry: Reader) -> str:
    name = entry.text("name")
    # Host names, machine labels and NodeSets of every cloud must hold it with stack and index beside it.
    if name and (len(name) > NAME_LIMIT or not _NAME.fullmatch(name)):
        entry.add(
            "name",
            f"{shown(name)} is not a fleet's name; at most {NAME_LIMIT} of a-z, 0-9 and single -, starting with a "
            "letter and not ending in -, are",
        )
    return name


def _machine_type(entry: Reader, cloud: Cloud, row: CloudDefaults) -> str:
    machine_type = entry.text("type", row.type)
    if row.types and machine_type not in row.types:
        entry.add("type", f"{shown(machine_type)} is no type of {cloud}; {suggestion(machine_type, row.types)}")
        return row.type
    if not re.fullmatch(row.type_pattern, machine_type):
        entry.add("type", f"{shown(machine_type)} is no type of {cloud}; {row.type_example} would be")
    return machine_type


def _image(entry: Reader, cloud: Cloud, row: CloudDefaults) -> str:
    value = entry.values.get("image")
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Vultr's images are numbers, and YAML reads them as such.
        entry = dataclasses.replace(entry, values={**entry.values, "image": f"{value:.0f}"})
    image = entry.text("image", row.image)
    if row.image_files:
        try:
            reference.parse(image)
        except ValueError as error:
            entry.add("image", str(error))
    elif "latest" in image.lower():
        entry.add("image", f"{shown(image)} is not pinned; a version such as {row.image_example} is")
    elif not re.fullmatch(row.image_pattern, image):
        entry.add("image", f"{shown(image)} is no pinned image of {cloud}; {row.image_example} is")
    return image


def _regions(entry: Reader, cloud: Cloud, row: CloudDefaults, allowed: tuple[str, ...]) -> tuple[str, ...]:
    regions = entry.texts("regions", row.regions)
    for index, region in enumerate(regions):
        path = f"regions[{index}]"
        if not _REGION.fullmatch(region):
            entry.add(path, f"{shown(region)} is not a region; nl-ams would be")
        elif row.paid and allowed and region not in allowed:
            entry.add(path, f"{region} is not among gaxx:allowedRegions; {', '.join(allowed)} would be")
        elif not row.paid and region not in row.regions:
            entry.add(path, f"{shown(region)} is not a region of {cloud}; {', '.join(row.regions)} is")
    if not regions and not entry.faults.below(entry.at("regions")):
        entry.add("regions", f"missing; {cloud} needs at least one, such as [nl-ams]")
    return regions or row.regions


def _trusted_cidrs(entry: Reader, reach: Reach) -> tuple[str, ...]:
    right = "10.0.0.0/8, or your own network of /16 (IPv4) or /32 (IPv6) and narrower, is accepted"
    networks = _cidrs(entry, "trustedCidrs", TRUSTED_CIDRS, f"8088 and 9091 to the world or much of it; {right}")
    if not networks and reach == "direct" and not entry.faults.below(entry.at("trustedCidrs")):
        entry.add("trustedCidrs", "empty, and reach is direct: nobody could call a node; reach: ssh needs none")
    return networks


def _ssh_cidrs(entry: Reader, cloud: Cloud, row: CloudDefaults) -> tuple[str, ...]:
    right = "the address you connect from, such as 203.0.113.7/32, is accepted"
    networks = _cidrs(entry, "sshCidrs", row.ssh_cidrs, f"SSH to the world or much of it; {right}")
    if not networks and not entry.faults.below(entry.at("sshCidrs")):
        entry.add("sshCidrs", f"missing; {cloud} needs the address you connect from, such as [203.0.113.7/32]")
    return networks


def _private_network(entry: Reader, cloud: Cloud, row: CloudDefaults) -> str:
    text = entry.text("privateNetwork", "")
    if not text:
        return ""
    right = "10.20.0.0/24, or another private range of /16 to /28, is"
    if not row.paid:
        entry.add("privateNetwork", f"{cloud} has no private networks; linode and vultr have")
        return ""
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        entry.add("privateNetwork", f"{shown(text)} is no IPv4 range; {right}")
        return ""
    private = any(network.subnet_of(whole) for whole in _PRIVATE) and not network.overlaps(_LINODES_OWN)
    if not private or network.prefixlen not in _PREFIXES:
        entry.add("privateNetwork", f"{network} is no private range of /16 to /28 that is free at the vendors; {right}")
        return ""
    return str(network)


def _cidrs(entry: Reader, key: str, default: tuple[str, ...], too_wide: str) -> tuple[str, ...]:
    def check(text: str) -> cidrs.Network:
        network = cidrs.parse(text)
        if cidrs.is_too_wide(network):
            message = f"{network} opens {too_wide}"
            raise ValueError(message)
        return network

    networks = entry.checked(key, default, check)
    for network in filter(cidrs.is_too_wide, cidrs.merged(networks)):
        entry.add(key, f"together these ranges are {network}, which opens {too_wide}")
    return tuple(str(network) for network in networks)


def _matching(pattern: re.Pattern[str], what: str, example: str) -> typing.Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            message = f"{shown(text)} is not {what}; {example} would be"
            raise ValueError(message)
        return text

    return check
