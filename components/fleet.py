"""The Fleet component: nodes declared together, each a machine, its single-use secrets and its enrolment."""

import dataclasses
from typing import Any, TypedDict

import pulumi

from components import bundle, naming
from components.backend import backend_id, current_backend_url, project_root
from components.cloudinit import Bootstrap, render
from components.clouds import cloud
from components.clouds.base import Machine, MachineRequest
from components.declared import BootstrapIdentity, Enrolment, OperatorCertificate, Sweep
from components.errors import SettingsError
from components.firewall import Firewall, parse_fleet
from components.fleet_settings import FleetSettings
from components.operators import OperatorSettings, read_operators
from components.places import stack_key
from components.settings_reader import Faults, Reader, format_duration

AGENT_PORT = 8088
METRICS_PORT = 9091


class FleetArgs(TypedDict):
    """A fleet, as the stack file declares it."""

    nodes: int
    """How many machines."""
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


@dataclasses.dataclass(frozen=True, slots=True)
class StackParts:
    """What the fleets of one stack share."""

    backend_id: str
    stack_key: str
    sweep: Sweep
    certificates: tuple[tuple[OperatorSettings, OperatorCertificate], ...]
    ttl_s: int
    denied_serials: tuple[str, ...] = ()


class Fleet(pulumi.ComponentResource):
    """N ephemeral machines behind one firewall, enrolled under the stack's authority."""

    nodes: pulumi.Output[list[Any]]
    """The nodes, as the inventory has them."""

    def __init__(
        self,
        name: str,
        args: FleetArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        parts: StackParts | None = None,
    ) -> None:
        super().__init__("gaxx:index:Fleet", name, {}, opts)
        fleet = parse_fleet(_entry(name, args))
        parts = parts or _own_parts(self, args)
        source = cloud(fleet.cloud)
        for notice in source.notices(fleet):
            pulumi.warn(notice, self)
        firewall = Firewall(
            fleet.name,
            {
                "fleet": fleet.name,
                "cloud": fleet.cloud,
                "trusted_cidrs": list(fleet.trusted_cidrs),
                "ssh_cidrs": list(fleet.ssh_cidrs),
            },
            pulumi.ResourceOptions(parent=self),
        )
        agent_source = bundle.source_digest()
        nodes = [self._node(fleet, index, parts, firewall, agent_source) for index in range(1, fleet.nodes + 1)]
        self.nodes = pulumi.Output.all(*nodes).apply(list)
        self.register_outputs({"nodes": self.nodes})

    def _node(
        self, fleet: FleetSettings, index: int, parts: StackParts, firewall: Firewall, agent_source: str
    ) -> pulumi.Output[dict[str, Any]]:
        child = pulumi.ResourceOptions(parent=self)
        node = naming.node_name(fleet.name, index)
        region = fleet.region(index)
        identity = BootstrapIdentity(
            f"{node}-identity",
            {
                "node": node,
                "cloud": fleet.cloud,
                "stackKey": parts.stack_key,
                "triggers": [fleet.image, fleet.type, region],
            },
            child,
        )
        tags = naming.tags(
            project=pulumi.get_project(),
            backend_id=parts.backend_id,
            stack=pulumi.get_stack(),
            fleet=fleet.name,
            index=index,
            ttl=format_duration(parts.ttl_s) if parts.ttl_s else "",
            owner=parts.certificates[0][0].name if parts.certificates else "",
        )
        machine = cloud(fleet.cloud).make_machine(
            MachineRequest(
                node=node,
                fleet=fleet,
                index=index,
                region=region,
                user_data=_user_data(identity),
                tags=tags,
                stack_key=parts.stack_key,
            ),
            firewall.resource,
            # Deleted before the sweep, which takes what is left.
            pulumi.ResourceOptions(parent=self, depends_on=[parts.sweep]),
        )
        tls_name = naming.tls_name(node, pulumi.get_stack())
        enrolment = Enrolment(
            f"{node}-enrolment",
            _enrolment_inputs(fleet, index, node, tls_name, parts, identity, machine, agent_source),
            child,
        )
        return _inventory_node(fleet, index, node, region, tls_name, machine, enrolment)


def _enrolment_inputs(
    fleet: FleetSettings,
    index: int,
    node: str,
    tls_name: str,
    parts: StackParts,
    identity: BootstrapIdentity,
    machine: Machine,
    agent_source: str,
) -> dict[str, Any]:
    del index
    return {
        "node": node,
        "fleet": fleet.name,
        "cloud": fleet.cloud,
        "machineId": machine.machine_id,
        "created": machine.created,
        "address": machine.address,
        "reach": fleet.reach,
        "sshHost": machine.ssh_host,
        "sshPort": machine.ssh_port,
        "sshUser": machine.ssh_user,
        "helper": machine.helper,
        "bootstrapHostKey": identity.output("hostPublicKey"),
        "bootstrapPrivateKey": identity.output("userPrivateKey"),
        "tlsName": tls_name,
        "trustedCidrs": list(fleet.trusted_cidrs),
        "sshCidrs": list(fleet.ssh_cidrs),
        "principals": [
            {
                "name": operator.name,
                "role": operator.role,
                "tokenSha256": certificate.output("tokenSha256"),
                "sshPublicKey": operator.ssh_public_key,
                "certificateSerial": "",
            }
            for operator, certificate in parts.certificates
        ],
        "deniedSerials": list(parts.denied_serials),
        "env": dict(fleet.env),
        "files": {file.path: {"content": file.content, "mode": file.mode} for file in fleet.files},
        "packages": list(fleet.packages),
        "groups": list(fleet.groups),
        "slots": fleet.slots,
        "ttlS": parts.ttl_s,
        "idleS": fleet.idle_s,
        "agentSource": agent_source,
    }


def _inventory_node(
    fleet: FleetSettings, index: int, node: str, region: str, tls_name: str, machine: Machine, enrolment: Enrolment
) -> pulumi.Output[dict[str, Any]]:
    """The node as the inventory has it (components.inventory.Node)."""
    return pulumi.Output.all(
        name=node,
        fleet=fleet.name,
        index=index,
        cloud=fleet.cloud,
        region=region,
        type=fleet.type,
        image=fleet.image,
        machine_id=machine.machine_id,
        address=machine.address,
        reach=fleet.reach,
        ssh_host=machine.ssh_host,
        ssh_port=machine.ssh_port,
        ssh_user=machine.ssh_user,
        ssh_host_keys=enrolment.output("sshHostKeys"),
        agent_port=AGENT_PORT,
        metrics_port=METRICS_PORT,
        tls_name=tls_name,
        slots=fleet.slots,
        groups=list(fleet.groups),
        created=machine.created,
        expires=enrolment.output("expires"),
        agent_build=enrolment.output("agentBuild"),
    )


def _user_data(identity: BootstrapIdentity) -> pulumi.Output[str]:
    def rendered(values: dict[str, Any]) -> str:
        return render(
            Bootstrap(
                host_private_key=values["host_private"],
                host_public_key=values["host_public"],
                user_public_key=values["user_public"],
                authority_ssh=values["authority"],
            )
        )

    # Neither vendor's plugin marks user-data as secret: a preview would print the host key.
    return pulumi.Output.secret(
        pulumi.Output.all(
            host_private=identity.output("hostPrivateKey"),
            host_public=identity.output("hostPublicKey"),
            user_public=identity.output("userPublicKey"),
            authority=identity.output("authoritySsh"),
        ).apply(rendered)
    )


def declare_certificates(
    operators: tuple[OperatorSettings, ...], token_generation: int, opts: pulumi.ResourceOptions | None
) -> tuple[tuple[OperatorSettings, OperatorCertificate], ...]:
    """Declare one certificate an operator."""
    return tuple(
        (
            operator,
            OperatorCertificate(
                operator.name,
                {
                    "name": operator.name,
                    "role": operator.role,
                    "csr": operator.csr,
                    "sshPublicKey": operator.ssh_public_key,
                    "tokenGeneration": token_generation,
                },
                opts,
            ),
        )
        for operator in operators
    )


def _own_parts(fleet: Fleet, args: FleetArgs) -> StackParts:
    """What a fleet that is declared on its own, in any language, brings along itself."""
    faults = Faults()
    operators = read_operators(Reader({"operators": args.get("operators") or []}, faults))
    if faults.found:
        raise SettingsError(tuple(faults.found))
    root = project_root()
    backend = backend_id(current_backend_url(root), root)
    key = stack_key(backend, pulumi.get_project(), pulumi.get_stack())
    child = pulumi.ResourceOptions(parent=fleet)
    return StackParts(
        backend_id=backend,
        stack_key=key,
        sweep=Sweep("sweep", {"stackKey": key, "backendId": backend}, child),
        certificates=declare_certificates(operators, 1, child),
        ttl_s=int(args.get("ttl_s") or 0),
    )


def _entry(name: str, args: FleetArgs) -> dict[str, object]:
    renamed = {"trusted_cidrs": "trustedCidrs", "ssh_cidrs": "sshCidrs"}
    entry: dict[str, object] = {"name": name}
    for key, value in args.items():
        if value is not None and key not in {"operators", "ttl_s"}:
            entry[renamed.get(key, key)] = value
    return entry
