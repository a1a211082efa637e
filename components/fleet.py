"""The Fleet component: nodes declared together, behind one firewall, under the stack's authority."""

from typing import Any, TypedDict

import pulumi

from components import bundle, left_out, naming
from components.backend import backend_id, current_backend_url, project_root
from components.clouds import cloud
from components.clouds.base import Network, NetworkRequest
from components.creation_pace import estimate
from components.declared import Quorum, Sweep
from components.errors import SettingsError
from components.firewall import Firewall, parse_fleet
from components.fleet_node import DeclaredNode, declare_node, leave_out
from components.fleet_settings import FleetSettings
from components.jump_host import JumpHost
from components.operators import read_operators
from components.places import stack_key
from components.settings_reader import Faults, Reader
from components.stack_parts import StackParts, declare_certificates


class FleetArgs(TypedDict):
    """A fleet, as the stack file declares it."""

    nodes: int
    """How many machines."""
    enough: int | None
    """How many enrolled ones are enough to go on; default all."""
    cloud: str | None
    """local (default), qemu, linode or vultr."""
    type: str | None
    """Machine type; default per cloud."""
    regions: list[str] | None
    """Nodes are spread over them in this order."""
    image: str | None
    """Pinned image; default per cloud."""
    trusted_cidrs: list[str] | None
    """Who may reach 8088 and 9091; default 10.0.0.0/8."""
    ssh_cidrs: list[str] | None
    """Who may reach 22."""
    private_network: str | None
    """Range of a network of its own in each region: 10.20.0.0/24; default none. linode and vultr only."""
    reach: str | None
    """ssh or direct."""
    packages: list[str] | None
    """Debian packages that enrolment installs."""
    files: dict[str, Any] | None
    """Files that enrolment puts on every node: path to content, or to content and mode."""
    env: dict[str, str] | None
    """Environment of every item."""
    groups: list[str] | None
    """Groups of the fleet, for `-n @group`."""
    idle: str | None
    """Idle time after which it may be reaped: 45m."""
    slots: int | None
    """Items at once on a node; default by type."""
    operators: list[dict[str, str]] | None
    """Who may use it: name, role, sshPublicKey, csr."""
    ttl_s: int | None
    """Seconds from a machine's creation to its expiry; 0: none."""
    jump_host: str | None
    """The SSH host to reach the nodes' sshd through: [user@]host[:port]."""


class Fleet(pulumi.ComponentResource):
    """N ephemeral machines behind one firewall, enrolled under the stack's authority."""

    nodes: pulumi.Output[list[Any]]
    """The enrolled nodes, as the inventory has them."""
    missing: pulumi.Output[list[str]]
    """Names of declared nodes that are not enrolled."""

    def __init__(
        self,
        name: str,
        args: FleetArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        parts: StackParts | None = None,
    ) -> None:
        fleet = parse_fleet(_entry(name, args))
        super().__init__("gaxx:index:Fleet", name, _judged(fleet), opts)
        source = cloud(fleet.cloud)
        if parts is None:
            faults = tuple((f"{fleet.name}.{key}", text) for key, text in source.faults(fleet))
            if faults:
                raise SettingsError(faults)
            parts = _own_parts(self, args, [fleet.cloud] if fleet.paid else [])
        for notice in source.notices(fleet):
            pulumi.warn(notice, self)
        if parts.jump_host and fleet.on_this_computer:
            pulumi.info(f"{fleet.name} is on this computer: it is not reached through {parts.jump_host}", self)
        duration = estimate(fleet.cloud, fleet.nodes)
        if duration:
            pulumi.info(f"{fleet.name}: {duration}", self)
        firewall = Firewall(
            fleet.name,
            {
                "fleet": fleet.name,
                "cloud": fleet.cloud,
                "trusted_cidrs": list(fleet.trusted_cidrs),
                "ssh_cidrs": list(fleet.ssh_cidrs),
            },
            # Deleted before the sweep, which takes what is left.
            pulumi.ResourceOptions(parent=self, depends_on=[parts.sweep]),
            seed=parts.sweep.output("seed"),
        )
        networks = _networks(self, fleet, parts)
        agent_source = bundle.source_digest()
        without = left_out.of_fleet(fleet)
        nodes = [
            leave_out(node)
            if (node := naming.node_name(fleet.name, index)) in without
            else declare_node(self, fleet, index, parts, firewall, networks, agent_source)
            for index in range(1, fleet.nodes + 1)
        ]
        self._settle(fleet, parts, nodes)
        self.register_outputs({"nodes": self.nodes, "missing": self.missing})

    def _settle(self, fleet: FleetSettings, parts: StackParts, nodes: list[DeclaredNode]) -> None:
        entries = pulumi.Output.all(*(node.entry for node in nodes))
        if fleet.enough == fleet.nodes:
            self.nodes = entries.apply(list)
            self.missing = pulumi.Output.from_input([])
            return
        standing = pulumi.Output.all(*(node.standing for node in nodes)).apply(list)
        quorum = Quorum(
            f"{fleet.name}-quorum",
            {
                "fleet": fleet.name,
                "cloud": fleet.cloud,
                "stackKey": parts.stack_key,
                "backendId": parts.backend_id,
                "enough": fleet.enough,
                "nodes": standing,
            },
            pulumi.ResourceOptions(parent=self),
        )
        self.missing = quorum.output("missing").apply(list)
        self.nodes = pulumi.Output.all(entries, self.missing).apply(
            lambda known: [entry for entry in known[0] if entry["name"] not in known[1]]
        )


def _networks(parent: Fleet, fleet: FleetSettings, parts: StackParts) -> dict[str, Network]:
    """One private network in each region that gets a node, where the fleet declares one."""
    if not fleet.private_network:
        return {}
    whose = {"project": pulumi.get_project(), "backend_id": parts.backend_id, "stack": pulumi.get_stack()}
    made = {}
    for region in dict.fromkeys(fleet.region(index) for index in range(1, fleet.nodes + 1)):
        request = NetworkRequest(
            naming.network_name(fleet.name, region, fleet.private_network),
            region,
            fleet.private_network,
            label=naming.network_label(**whose, fleet=fleet.name, region=region, cidr=fleet.private_network),
            tags=naming.fleet_tags(**whose, fleet=fleet.name),
            seed=parts.sweep.output("seed"),
        )
        # Deleted before the sweep, which takes what is left.
        network = cloud(fleet.cloud).make_network(
            request, pulumi.ResourceOptions(parent=parent, depends_on=[parts.sweep])
        )
        if network is not None:
            made[region] = network
    return made


def _judged(fleet: FleetSettings) -> dict[str, Any]:
    """What a policy can refuse before any machine of the fleet is declared."""
    return {
        "cloud": fleet.cloud,
        "nodes": fleet.nodes,
        "type": fleet.type,
        "regions": list(fleet.regions),
        "image": fleet.image,
        **({"privateNetwork": fleet.private_network} if fleet.private_network else {}),
    }


def _own_parts(fleet: Fleet, args: FleetArgs, clouds: list[str]) -> StackParts:
    """What a fleet that is declared on its own, in any language, brings along itself."""
    faults = Faults()
    operators = read_operators(Reader({"operators": args.get("operators") or []}, faults))
    if args.get("jump_host"):
        JumpHost.parse(str(args["jump_host"]))
    if faults.found:
        raise SettingsError(tuple(faults.found))
    root = project_root()
    backend = backend_id(current_backend_url(root), root)
    key = stack_key(backend, pulumi.get_project(), pulumi.get_stack())
    child = pulumi.ResourceOptions(parent=fleet)
    return StackParts(
        backend_id=backend,
        stack_key=key,
        sweep=Sweep("sweep", {"stackKey": key, "backendId": backend, "clouds": clouds}, child),
        certificates=declare_certificates(operators, 1, 1, child),
        ttl_s=int(args.get("ttl_s") or 0),
        jump_host=args.get("jump_host") or "",
    )


def _entry(name: str, args: FleetArgs) -> dict[str, object]:
    renamed = {"trusted_cidrs": "trustedCidrs", "ssh_cidrs": "sshCidrs", "private_network": "privateNetwork"}
    entry: dict[str, object] = {"name": name}
    for key, value in args.items():
        if value is not None and key not in {"operators", "ttl_s", "jump_host"}:
            entry[renamed.get(key, key)] = value
    return entry
