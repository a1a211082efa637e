"""The `local` cloud: machines that are processes on this computer."""

import pulumi

from components.cloud_table import CLOUDS
from components.clouds.base import CloudFirewall, FirewallRequest, Machine, MachineRequest, NetworkRequest
from components.declared import LocalNode
from components.fleet_settings import FleetSettings


class Local:
    """No account, no cost, no isolation: for development, rehearsal and tests."""

    name = "local"

    def notices(self, fleet: FleetSettings) -> tuple[str, ...]:
        """Processes have no firewall and no packages of their own."""
        notices = []
        if fleet.packages:
            notices.append(f"packages of {fleet.name} are not installed: a local node uses what this computer has")
        return tuple(notices)

    def faults(self, fleet: FleetSettings) -> tuple[tuple[str, str], ...]:
        """What could be wrong is wrong in the settings already."""
        del fleet
        return ()

    def make_network(self, request: NetworkRequest, opts: pulumi.ResourceOptions) -> None:
        """None: settings refuse one."""
        del request, opts

    def make_firewall(self, request: FirewallRequest, opts: pulumi.ResourceOptions) -> None:
        """None: a local node listens on loopback only, which is what keeps others out."""
        del request, opts

    def make_machine(
        self, request: MachineRequest, firewall: CloudFirewall | None, opts: pulumi.ResourceOptions
    ) -> Machine:
        """Declare the node's processes."""
        del firewall
        size = CLOUDS["local"].types[request.fleet.type]
        node = LocalNode(
            request.node,
            {
                "node": request.node,
                "fleet": request.fleet.name,
                "index": request.index,
                "stackKey": request.stack_key,
                "userData": request.user_data,
                "openFiles": size.open_files_limit,
                "memoryLimitBytes": size.memory_limit_bytes,
                "tags": list(request.tags),
            },
            opts,
        )
        return Machine(
            resource=node,
            machine_id=node.output("machineId"),
            created=node.output("created"),
            address=node.output("address"),
            ssh_host=node.output("address"),
            ssh_port=node.output("sshPort"),
            ssh_user=node.output("sshUser"),
            helper=node.output("helper"),
        )
