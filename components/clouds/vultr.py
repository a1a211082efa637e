"""The `vultr` cloud: instances in a firewall group that names all who may come in."""

import ipaddress
from collections.abc import Iterator

import pulumi

from components.clouds import capabilities
from components.clouds.base import CloudFirewall, FirewallRequest, Machine, MachineRequest, Network, NetworkRequest
from components.clouds.vendor import Vendor, enrolled_by
from components.declared import CloudFirewall as CloudRecord
from components.firewall_rules import Rule
from components.fleet_settings import FleetSettings


class Vultr:
    """Vultr, through `ediri_vultr`."""

    name = "vultr"

    def notices(self, fleet: FleetSettings) -> tuple[str, ...]:
        """Its firewall has no deny rules, and its disks no encryption that could be asked for."""
        return (
            f"{fleet.name}: vultr's firewall has no deny rules; it closes 6060 by opening it to nobody",
            f"{fleet.name}: vultr encrypts no disks; what nodes write is readable by whoever has the disk",
        )

    def faults(self, fleet: FleetSettings) -> tuple[tuple[str, str], ...]:
        """Regions that there are not."""
        return capabilities.vultr_faults(fleet)

    def make_network(self, request: NetworkRequest, opts: pulumi.ResourceOptions) -> Network:
        """Declare a VPC."""
        import ediri_vultr as vultr

        network = ipaddress.ip_network(request.cidr)
        vpc = vultr.Vpc(
            request.name,
            region=request.region,
            # VPCs have no tags.
            description=" ".join(request.tags),
            v4_subnet=str(network.network_address),
            v4_subnet_mask=network.prefixlen,
            opts=opts,
        )
        return Network(vpc.id, vpc.id)

    def make_firewall(self, request: FirewallRequest, opts: pulumi.ResourceOptions) -> CloudFirewall:
        """Declare the group and its rules; a rule cannot be changed, so each is named by what it says."""
        import ediri_vultr as vultr

        # Groups have no tags: the description says whose it is.
        group = vultr.FirewallGroup(request.name, description=" ".join(request.tags), opts=opts)
        record = CloudRecord(
            f"{request.name}-firewall",
            {"cloud": self.name, "firewallId": group.id},
            pulumi.ResourceOptions(parent=opts.parent),
        )
        # A rule that is there already cannot be made: the record sees to it that none is that no state knows.
        after = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[record]))
        rules = tuple(
            vultr.FirewallRule(
                f"{request.name}-{int(rule.port)}-{network}",
                firewall_group_id=group.id,
                ip_type=f"v{network.version}",
                protocol=rule.protocol,
                port=str(int(rule.port)),
                subnet=str(network.network_address),
                subnet_size=network.prefixlen,
                notes=rule.label,
                opts=after,
            )
            for rule, network in _accepted(request.rules)
        )
        return CloudFirewall(group, rules)

    def make_machine(
        self, request: MachineRequest, firewall: CloudFirewall | None, opts: pulumi.ResourceOptions
    ) -> Machine:
        """Declare the instance, in its group from the call that creates it, once the group's rules are there."""
        import ediri_vultr as vultr

        # Vultr's own images know root alone until the user-data has closed it: to nobody's key but this one, and
        # that opens nothing once the machine is enrolled. Keys have no tags: the comment says whose it is.
        key = vultr.SSHKey(
            f"{request.node}-key",
            name=request.label,
            ssh_key=request.bootstrap_key.apply(lambda line: " ".join([*line.split()[:2], *request.tags])),
            opts=opts,
        )
        instance = vultr.Instance(
            request.node,
            region=request.region,
            plan=request.fleet.type,
            os_id=int(request.fleet.image),
            label=request.label,
            hostname=request.label,
            tags=list(request.tags),
            firewall_group_id=firewall.resource.id if firewall else None,
            ssh_key_ids=[key.id],
            vpc_ids=[request.network.attached] if request.network else None,
            activation_email=False,
            backups="disabled",
            enable_ipv6=False,
            # The plugin encodes it; the program must not.
            user_data=_secret(request.user_data),
            opts=pulumi.ResourceOptions.merge(
                opts,
                pulumi.ResourceOptions(
                    depends_on=list(firewall.parts) if firewall else None,
                    delete_before_replace=True,
                    # Another key comes with other user-data, which makes another machine anyway.
                    ignore_changes=["sshKeyIds"],
                ),
            ),
        )
        return enrolled_by(request, Vendor(instance, instance.main_ip), opts.parent)


def _secret(text: pulumi.Output[str]) -> pulumi.Output[str]:
    return pulumi.Output.secret(text.apply(str))


def _accepted(rules: tuple[Rule, ...]) -> Iterator[tuple[Rule, ipaddress.IPv4Network | ipaddress.IPv6Network]]:
    for rule in rules:
        if rule.action == "accept":
            for source in rule.sources:
                yield rule, ipaddress.ip_network(source)
