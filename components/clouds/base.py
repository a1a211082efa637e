"""What a cloud does for a fleet: make a machine, make a firewall, say what it cannot do."""

import dataclasses
import typing

import pulumi

from components.firewall_rules import Rule
from components.fleet_settings import FleetSettings

Text = pulumi.Output[str]


@dataclasses.dataclass(frozen=True, slots=True)
class FirewallRequest:
    """One fleet's firewall to be made. All of it is plain: it is judged at preview."""

    name: str
    rules: tuple[Rule, ...]
    label: str
    """3 to 27 characters: what it is called begins with it."""
    tags: tuple[str, ...]
    """Whose it is."""
    seed: Text
    """Of what tells two tries to make the same thing apart; empty: nobody knows of one."""


@dataclasses.dataclass(frozen=True, slots=True)
class NetworkRequest:
    """A fleet's private network in one region to be made."""

    name: str
    region: str
    cidr: str
    label: str
    """As a machine's: DNS's alphabet, 58 characters at most."""
    tags: tuple[str, ...]
    seed: Text


@dataclasses.dataclass(frozen=True, slots=True)
class Network:
    """A declared private network."""

    id: Text
    """The vendor's id of it."""
    attached: pulumi.Output[typing.Any]
    """What a machine names to be in it."""


@dataclasses.dataclass(frozen=True, slots=True)
class CloudFirewall:
    """A declared firewall: the resource that machines name, and what makes it whole."""

    resource: pulumi.CustomResource
    parts: tuple[pulumi.Resource, ...] = ()
    """Rules that are resources of their own: there before a machine is."""


@dataclasses.dataclass(frozen=True, slots=True)
class MachineRequest:
    """One machine to be made. All but the user-data is plain: it is judged at preview."""

    node: str
    fleet: FleetSettings
    index: int
    """Position in the fleet, from 1."""
    region: str
    user_data: Text
    """Secret cloud-config text."""
    label: str
    """The machine's name as a host, and what its name at the vendor begins with: 58 characters at most."""
    tags: tuple[str, ...]
    stack_key: str
    seed: Text
    bootstrap_key: Text
    """The public half of the key that enrols it, once: of no use after that."""
    network: Network | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Machine:
    """A declared machine, and how it will be reached."""

    resource: pulumi.Resource
    machine_id: Text
    created: Text
    """RFC 3339, UTC."""
    address: Text
    """Where its agent listens."""
    ssh_host: Text
    ssh_port: pulumi.Output[int]
    ssh_user: Text
    helper: Text
    """Command of the enrolment helper."""


class Cloud(typing.Protocol):
    """One source of machines."""

    name: str

    def notices(self, fleet: FleetSettings) -> tuple[str, ...]:
        """What this cloud cannot do of what the fleet declares; said in the preview, never silently dropped."""
        ...

    def faults(self, fleet: FleetSettings) -> tuple[tuple[str, str], ...]:
        """What cannot be, known before anything is made: (key of the fleet, what is wrong and what would be right)."""
        ...

    def make_network(self, request: NetworkRequest, opts: pulumi.ResourceOptions) -> Network | None:
        """Declare a private network; None where the cloud has none."""
        ...

    def make_firewall(self, request: FirewallRequest, opts: pulumi.ResourceOptions) -> CloudFirewall | None:
        """Declare the cloud's own firewall; None where it has none."""
        ...

    def make_machine(
        self, request: MachineRequest, firewall: CloudFirewall | None, opts: pulumi.ResourceOptions
    ) -> Machine:
        """Declare one machine, behind `firewall`."""
        ...
