"""The `linode` cloud: instances that are behind their firewall from their first packet."""

import base64
import hashlib
import ipaddress
import secrets
from collections.abc import Sequence

import pulumi

from components.clouds import capabilities
from components.clouds.base import (
    CloudFirewall,
    FirewallRequest,
    Machine,
    MachineRequest,
    Network,
    NetworkRequest,
    Text,
)
from components.clouds.vendor import Vendor, enrolled_by
from components.declared import CloudFirewall as CloudRecord
from components.declared import CloudNetwork
from components.firewall_rules import Rule
from components.fleet_settings import FleetSettings

_SUFFIX_DIGITS = 4
_PRIVATE = ipaddress.ip_network("192.168.128.0/17")
"""Where Linode's private addresses of a data centre come from."""


class Linode:
    """Akamai's Linode, through `pulumi_linode`."""

    name = "linode"

    def notices(self, fleet: FleetSettings) -> tuple[str, ...]:
        """Regions that encrypt no disks."""
        return capabilities.linode_notices(fleet)

    def faults(self, fleet: FleetSettings) -> tuple[tuple[str, str], ...]:
        """Regions that hand over no user-data, or have no private networks."""
        return capabilities.linode_faults(fleet)

    def make_network(self, request: NetworkRequest, opts: pulumi.ResourceOptions) -> Network:
        """Declare a VPC with one subnet."""
        import pulumi_linode as linode

        vpc = linode.Vpc(
            request.name,
            label=_unique(request.label, request.seed),
            # VPCs have no tags.
            description=" ".join(request.tags),
            region=request.region,
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=["label"])),
        )
        record = CloudNetwork(
            f"{request.name}-network",
            {"cloud": self.name, "networkId": vpc.id},
            pulumi.ResourceOptions(parent=opts.parent),
        )
        subnet = linode.VpcSubnet(
            request.name,
            vpc_id=vpc.id.apply(int),
            label="nodes",
            ipv4=request.cidr,
            opts=pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(delete_before_replace=True, depends_on=[record])
            ),
        )
        return Network(vpc.id, subnet.id.apply(int))

    def make_firewall(self, request: FirewallRequest, opts: pulumi.ResourceOptions) -> CloudFirewall:
        """Declare the firewall; a changed rule is one PUT to it."""
        import pulumi_linode as linode

        firewall = linode.Firewall(
            request.name,
            label=_unique(request.label, request.seed),
            tags=list(request.tags),
            inbounds=[_inbound(rule) for rule in request.rules],
            inbound_policy="DROP",
            outbound_policy="ACCEPT",
            # Instances name the firewall, not the firewall its instances: what it finds attached is no drift, and
            # without this the next update would detach it.
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=["label", "linodes"])),
        )
        CloudRecord(
            f"{request.name}-firewall",
            {"cloud": self.name, "firewallId": firewall.id},
            pulumi.ResourceOptions(parent=opts.parent),
        )
        return CloudFirewall(firewall)

    def make_machine(
        self, request: MachineRequest, firewall: CloudFirewall | None, opts: pulumi.ResourceOptions
    ) -> Machine:
        """Declare the instance, attached to its firewall in the call that creates it."""
        import pulumi_linode as linode

        instance = linode.Instance(
            request.node,
            region=request.region,
            type=request.fleet.type,
            image=request.fleet.image,
            label=_unique(request.label, request.seed),
            tags=list(request.tags),
            firewall_id=firewall.resource.id.apply(int) if firewall else None,
            # The other generation has its firewalls at interfaces; which one an account gets is its own setting.
            interface_generation="legacy_config",
            disk_encryption="enabled" if capabilities.linode_encrypts(request.region) else None,
            interfaces=_interfaces(request.network),
            backups_enabled=False,
            # It would start every machine again that has powered itself off at the end of its time.
            # https://techdocs.akamai.com/linode-api/reference/put-linode-instance
            watchdog_enabled=False,
            metadatas=_metadata(request.user_data),
            # No root_pass: the plugin takes a random one that it forgets, and sshd lets no password in.
            opts=pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(ignore_changes=["label"], delete_before_replace=True)
            ),
        )
        return enrolled_by(request, Vendor(instance, instance.ipv4s.apply(_public)), opts.parent)


def _public(addresses: Sequence[str]) -> str:
    return next(address for address in addresses if ipaddress.ip_address(address) not in _PRIVATE)


def _inbound(rule: Rule) -> object:
    import pulumi_linode as linode

    return linode.FirewallInboundArgs(
        label=rule.label,
        action=rule.action.upper(),
        protocol=rule.protocol.upper(),
        ports=str(int(rule.port)),
        ipv4s=[source for source in rule.sources if ":" not in source] or None,
        ipv6s=[source for source in rule.sources if ":" in source] or None,
    )


def _metadata(user_data: pulumi.Output[str]) -> pulumi.Output[Sequence[object]]:
    """Unknown as a whole before the keys are made: of a plan that knew the list and not its text, none would hold."""
    import pulumi_linode as linode

    def encoded(text: str) -> Sequence[object]:
        return [linode.InstanceMetadataArgs(user_data=base64.b64encode(text.encode()).decode())]

    return pulumi.Output.secret(user_data.apply(encoded))


def _interfaces(network: Network | None) -> Sequence[object] | None:
    import pulumi_linode as linode

    if network is None:
        return None
    return [
        linode.InstanceInterfaceArgs(purpose="public", primary=True),
        linode.InstanceInterfaceArgs(purpose="vpc", subnet_id=network.attached),
    ]


def _unique(label: str, seed: Text) -> Text:
    """Labels are unique in an account: the one of a create that failed and yet created must not stop the next one.

    The seed changes when something stands at the vendor that no state knows; where nobody can look, each run has
    labels of its own.
    """

    def suffixed(seed: str) -> str:
        own = hashlib.sha256(f"{seed}|{label}".encode()).hexdigest() if seed else secrets.token_hex(_SUFFIX_DIGITS)
        return f"{label}-{own[:_SUFFIX_DIGITS]}"

    return pulumi.Output.from_input(seed).apply(suffixed)
