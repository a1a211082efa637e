"""One node of a fleet: its single-use secrets, its machine, its enrolment, and its entry in the inventory."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pulumi

from components import naming
from components.cloudinit import Bootstrap, render
from components.clouds import cloud
from components.clouds.base import Machine, MachineRequest, Network
from components.clouds.turns import in_turn
from components.declared import BootstrapIdentity, Enrolment
from components.firewall import Firewall
from components.fleet_settings import FleetSettings
from components.ports import Port
from components.rehearsal import is_loopback
from components.settings_reader import format_duration
from components.stack_parts import StackParts


@dataclasses.dataclass(frozen=True, slots=True)
class DeclaredNode:
    """A node as the fleet goes on with it."""

    entry: pulumi.Output[dict[str, Any]]
    """As the inventory has it (components.inventory.Node)."""
    standing: pulumi.Output[dict[str, Any]]
    """Whether it is enrolled, and why not (Quorum)."""


def declare_node(
    parent: pulumi.Resource,
    fleet: FleetSettings,
    index: int,
    parts: StackParts,
    firewall: Firewall,
    networks: Mapping[str, Network],
    agent_source: str,
) -> DeclaredNode:
    """Declare node `index` (from 1) below `parent`."""
    child = pulumi.ResourceOptions(parent=parent)
    node = naming.node_name(fleet.name, index)
    region = fleet.region(index)
    identity = BootstrapIdentity(
        f"{node}-identity",
        {
            "node": node,
            "cloud": fleet.cloud,
            "stackKey": parts.stack_key,
            "triggers": list(fleet.triggers(index)),
        },
        child,
    )
    whose = {"project": pulumi.get_project(), "backend_id": parts.backend_id, "stack": pulumi.get_stack()}
    tags = naming.tags(
        **whose,
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
            user_data=in_turn(fleet.cloud, identity.output("made"), _user_data(identity)),
            label=naming.machine_label(**whose, fleet=fleet.name, index=index),
            tags=tags,
            stack_key=parts.stack_key,
            seed=parts.sweep.output("seed"),
            bootstrap_key=identity.output("userPublicKey"),
            network=networks.get(region),
        ),
        firewall.made,
        # Deleted before the sweep, which takes what is left.
        pulumi.ResourceOptions(parent=parent, depends_on=[parts.sweep]),
    )
    tls_name = naming.tls_name(node, pulumi.get_stack())
    enrolment = Enrolment(
        f"{node}-enrolment",
        _enrolment_inputs(fleet, node, tls_name, parts, identity, machine, agent_source),
        child,
    )
    standing = pulumi.Output.all(
        node=node,
        machineId=machine.machine_id,
        enrolled=enrolment.output("enrolled"),
        health=enrolment.output("health"),
    ).apply(_standing)
    # A document without the word is also for who does not know it yet.
    way = {"jump_host": _jump_host(parts, machine)} if parts.jump_host else {}
    return DeclaredNode(_inventory_node(fleet, index, node, region, tls_name, machine, enrolment, way), standing)


def leave_out(node: str) -> DeclaredNode:
    """Declare nothing: the fleet goes on without the node."""
    standing = {"node": node, "machineId": "", "enrolled": False, "reason": f"{node}: this update leaves it out"}
    return DeclaredNode(pulumi.Output.from_input({"name": node}), pulumi.Output.from_input(standing))


def _jump_host(parts: StackParts, machine: Machine) -> pulumi.Output[str] | None:
    """What leads to its sshd: nothing to an address of this computer, a rehearsed machine's too."""
    if not parts.jump_host:
        return None
    return machine.ssh_host.apply(lambda host: "" if is_loopback(host) else parts.jump_host)


def _enrolment_inputs(
    fleet: FleetSettings,
    node: str,
    tls_name: str,
    parts: StackParts,
    identity: BootstrapIdentity,
    machine: Machine,
    agent_source: str,
) -> dict[str, Any]:
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
        "keyGeneration": parts.key_generation,
        "enough": fleet.enough if fleet.enough < fleet.nodes else None,
        "jumpHost": _jump_host(parts, machine),
    }


def _standing(values: dict[str, Any]) -> dict[str, Any]:
    # A state that was written before there was the word knows only nodes that were enrolled.
    enrolled = values["enrolled"] is not False
    return {
        "node": values["node"],
        "machineId": values["machineId"],
        "enrolled": enrolled,
        "reason": "" if enrolled else values["health"],
    }


def _inventory_node(
    fleet: FleetSettings,
    index: int,
    node: str,
    region: str,
    tls_name: str,
    machine: Machine,
    enrolment: Enrolment,
    way: Mapping[str, pulumi.Output[str] | None],
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
        ssh_user=enrolment.output("operatorUser"),
        ssh_host_keys=enrolment.output("sshHostKeys"),
        agent_port=int(Port.AGENT),
        metrics_port=int(Port.METRICS),
        tls_name=tls_name,
        slots=fleet.slots,
        groups=list(fleet.groups),
        created=machine.created,
        expires=enrolment.output("expires"),
        agent_build=enrolment.output("agentBuild"),
        **way,
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
