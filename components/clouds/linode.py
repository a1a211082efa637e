"""The `linode` cloud: instances that are behind their firewall from their first packet."""

import base64
import ipaddress
import secrets
from collections.abc import Sequence

import pulumi

from components.clouds.base import CloudFirewall, FirewallRequest, Machine, MachineRequest
from components.clouds.vendor import Vendor, enrolled_by
from components.firewall_rules import Rule
from components.fleet_settings import FleetSettings

_SUFFIX_BYTES = 2
_PRIVATE = ipaddress.ip_network("192.168.128.0/17")
"""Where Linode's private addresses of a data centre come from."""


class Linode:
    """Akamai's Linode, through `pulumi_linode`."""

    name = "linode"

    def notices(self, fleet: FleetSettings) -> tuple[str, ...]:
        """Nothing that a fleet can declare is beyond it."""
        del fleet
        return ()

    def make_firewall(self, request: FirewallRequest, opts: pulumi.ResourceOptions) -> CloudFirewall:
        """Declare the firewall; a changed rule is one PUT to it."""
        import pulumi_linode as linode

        firewall = linode.Firewall(
            request.name,
            label=_unique(request.label),
            tags=list(request.tags),
            inbounds=[_inbound(rule) for rule in request.rules],
            inbound_policy="DROP",
            outbound_policy="ACCEPT",
            # Instances name the firewall, not the firewall its instances: what it finds attached is no drift, and
            # without this the next update would detach it.
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=["label", "linodes"])),
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
            label=_unique(request.label),
            tags=list(request.tags),
            firewall_id=firewall.resource.id.apply(int) if firewall else None,
            # The other generation has its firewalls at interfaces; which one an account gets is its own setting.
            interface_generation="legacy_config",
            disk_encryption="enabled",
            backups_enabled=False,
            metadatas=[linode.InstanceMetadataArgs(user_data=_encoded(request.user_data))],
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


def _encoded(user_data: pulumi.Output[str]) -> pulumi.Output[str]:
    return pulumi.Output.secret(user_data.apply(lambda text: base64.b64encode(text.encode()).decode()))


def _unique(label: str) -> str:
    """Labels are unique in an account: the one of a create that failed and yet created must not stop the next one."""
    return f"{label}-{secrets.token_hex(_SUFFIX_BYTES)}"
