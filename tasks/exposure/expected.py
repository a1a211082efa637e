"""What must be open, and to whom: from the stack file, by the same rules that the firewalls are made of."""

import dataclasses
import ipaddress
import typing

from components.firewall_rules import rules
from components.fleet_settings import FleetSettings
from components.inventory import Node
from components.ports import Port

Protocol = typing.Literal["ssh", "tls", "none"]

SAMPLE = (21, 23, 25, 80, 111, 443, 2375, 3306, 5432, 5900, 6379, 8080, 9090, 9100)
"""Ports that nobody declared and where machines are most often found open."""


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """One port that is asked, and what ought to answer there."""

    port: int
    name: str
    protocol: Protocol


def on_this_computer(node: Node) -> bool:
    """Whether the node is processes of this computer: a local one, or a rehearsed one."""
    return ipaddress.ip_address(node.address).is_loopback


def ports_of(node: Node, more: tuple[int, ...] = ()) -> tuple[Asked, ...]:
    """Return the ports of a node that are asked.

    A node that is processes of this computer shares all but its own four with everything else there.
    """
    own = (
        Asked(node.ssh_port, "SSH", "ssh"),
        Asked(node.agent_port, "agent", "tls"),
        Asked(node.metrics_port, "metrics", "tls"),
        Asked(int(Port.PROFILE), "profiler", "none"),
    )
    known = {asked.port for asked in own}
    others = sorted({*(() if on_this_computer(node) else SAMPLE), *more} - known)
    return (*own, *(Asked(port, "", "none") for port in others))


def is_open(fleet: FleetSettings, node: Node, asked: Asked, source: str, *, inside: bool) -> bool:
    """Whether `node` must answer there when it is asked from `source`, as the node sees that address.

    `inside`: from a peer.
    """
    if asked.protocol == "none":
        return False
    if on_this_computer(node):
        # No firewall: whoever works on this computer gets there, and nobody else.
        return True
    if fleet.cloud == "qemu" and not inside and asked.protocol != "ssh":
        return False  # QEMU forwards nothing else
    address = ipaddress.ip_address(source)
    # Told by name: a node may have its sshd forwarded from another port.
    label = {"SSH": "gaxx-ssh", "agent": "gaxx-agent", "metrics": "gaxx-metrics"}[asked.name]
    return any(
        address in ipaddress.ip_network(allowed)
        for rule in rules(fleet)
        if rule.action == "accept" and rule.label == label
        for allowed in rule.sources
    )
