"""The Firewall component: a fleet's rules, as data in the state and as the cloud's own firewall where it has one."""

import typing
from typing import TypedDict

import pulumi

from components import naming
from components.backend import backend_id, current_backend_url, project_root
from components.cloud_table import CLOUDS, Cloud
from components.clouds import cloud
from components.clouds.base import FirewallRequest
from components.errors import SettingsError
from components.firewall_rules import Rule, rules
from components.fleet_settings import FleetSettings, read_fleet
from components.settings_reader import Faults, Reader


class FirewallArgs(TypedDict):
    """Who may reach a fleet. Ports are fixed: 22, 8088 and 9091 as given here, 6060 and all others denied."""

    fleet: str
    """Name of the fleet that it protects."""
    cloud: str | None
    """local, qemu, linode or vultr; default local."""
    trusted_cidrs: list[str] | None
    """Who may reach the agent (8088) and its metrics (9091); default 10.0.0.0/8. The world is refused."""
    ssh_cidrs: list[str] | None
    """Who may reach SSH; the world is refused."""


class Firewall(pulumi.ComponentResource):
    """Inbound rules of a fleet, in order; what no rule allows is dropped."""

    rules: pulumi.Output[list[str]]
    """Each as `action protocol port from sources`."""

    def __init__(
        self,
        name: str,
        args: FirewallArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        seed: pulumi.Output[str] | None = None,
    ) -> None:
        fleet = _fleet(args)
        declared = rules(fleet)
        # Also as an input: a policy judges it before anything below is made, in clouds without a firewall too.
        super().__init__("gaxx:index:Firewall", name, {"rules": [_shown(rule) for rule in declared]}, opts)
        root = project_root()
        backend = backend_id(current_backend_url(root), root)
        whose = {"project": pulumi.get_project(), "backend_id": backend, "stack": pulumi.get_stack()}
        request = FirewallRequest(
            name,
            declared,
            label=naming.firewall_label(**whose, fleet=fleet.name),
            tags=naming.fleet_tags(**whose, fleet=fleet.name),
            seed=pulumi.Output.from_input("") if seed is None else seed,
        )
        # Children do not inherit what their component depends on.
        child = pulumi.ResourceOptions(parent=self, depends_on=opts.depends_on if opts else None)
        self.made = cloud(fleet.cloud).make_firewall(request, child)
        self.rules = pulumi.Output.from_input([_shown(rule) for rule in declared])
        self.register_outputs({"rules": self.rules})


def _shown(rule: Rule) -> str:
    return f"{rule.action} {rule.protocol} {int(rule.port)} from {', '.join(rule.sources)}"


def _fleet(args: FirewallArgs) -> FleetSettings:
    row = CLOUDS.get(typing.cast("Cloud", args.get("cloud") or "local"))
    entry = {
        "name": args["fleet"],
        "cloud": args.get("cloud"),
        "trustedCidrs": args.get("trusted_cidrs"),
        "sshCidrs": args.get("ssh_cidrs"),
        # Whether nobody trusted can be right is the fleet's question, and was judged there.
        "reach": "ssh",
        # And so is where it stands: a firewall stands everywhere.
        "regions": ["any"] if row and not row.regions else None,
    }
    return parse_fleet({key: value for key, value in entry.items() if value is not None})


def parse_fleet(entry: dict[str, object]) -> FleetSettings:
    """Read one fleet as the stack file would have it; raise SettingsError with all of its faults."""
    faults = Faults()
    fleet = read_fleet(Reader(entry, faults), allowed_regions=())
    if faults.found:
        raise SettingsError(tuple(faults.found))
    return fleet
