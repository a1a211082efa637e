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
    """3 to 32 characters, unique in an account that several stacks share."""
    tags: tuple[str, ...]
    """Whose it is."""


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
    """The machine's name at the vendor and as a host: unique in an account, 63 characters at most."""
    tags: tuple[str, ...]
    stack_key: str


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

    def make_firewall(self, request: FirewallRequest, opts: pulumi.ResourceOptions) -> CloudFirewall | None:
        """Declare the cloud's own firewall; None where it has none."""
        ...

    def make_machine(
        self, request: MachineRequest, firewall: CloudFirewall | None, opts: pulumi.ResourceOptions
    ) -> Machine:
        """Declare one machine, behind `firewall`."""
        ...
