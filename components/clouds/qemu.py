"""The `qemu` cloud: virtual machines on this computer, with their own kernel, systemd, sshd and firewall."""

import pulumi

from components.cloud_table import CLOUDS
from components.clouds.base import CloudFirewall, FirewallRequest, Machine, MachineRequest, NetworkRequest
from components.declared import QemuNode
from components.fleet_settings import FleetSettings


class Qemu:
    """No account and no cost; isolates as well as a virtual machine does."""

    name = "qemu"

    def notices(self, fleet: FleetSettings) -> tuple[str, ...]:
        """Nothing that a fleet can declare is beyond it."""
        del fleet
        return ()

    def faults(self, fleet: FleetSettings) -> tuple[tuple[str, str], ...]:
        """What could be wrong is wrong in the settings already."""
        del fleet
        return ()

    def make_network(self, request: NetworkRequest, opts: pulumi.ResourceOptions) -> None:
        """None: settings refuse one."""
        del request, opts

    def make_firewall(self, request: FirewallRequest, opts: pulumi.ResourceOptions) -> None:
        """None before the machine: only loopback leads to it, and to its sshd alone; its own nftables does the rest."""
        del request, opts

    def make_machine(
        self, request: MachineRequest, firewall: CloudFirewall | None, opts: pulumi.ResourceOptions
    ) -> Machine:
        """Declare the virtual machine."""
        del firewall
        size = CLOUDS["qemu"].types[request.fleet.type]
        node = QemuNode(
            request.node,
            {
                "node": request.node,
                "fleet": request.fleet.name,
                "index": request.index,
                "stackKey": request.stack_key,
                "userData": request.user_data,
                "image": request.fleet.image,
                "memoryBytes": size.memory_limit_bytes,
                "cpus": size.slots,
                "tags": list(request.tags),
            },
            opts,
        )
        return Machine(
            resource=node,
            machine_id=node.output("machineId"),
            created=node.output("created"),
            address=node.output("address"),
            ssh_host=node.output("sshHost"),
            ssh_port=node.output("sshPort"),
            ssh_user=node.output("sshUser"),
            helper=node.output("helper"),
        )
