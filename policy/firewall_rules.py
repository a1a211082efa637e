"""No machine without a firewall that is declared with it."""

from collections.abc import Iterable, Sequence

from policy.declared import UNKNOWN, Declared
from policy.machines import LINODE, VULTR
from policy.openings import LINODE_FIREWALL
from policy.rule import Rule, Settings

_LINODE_DEVICE = "linode:index/firewallDevice:FirewallDevice"
_VULTR_GROUP = "vultr:index/firewallGroup:FirewallGroup"


def firewall_named(resource: Declared, settings: Settings) -> Iterable[str]:
    """A Vultr instance names its group itself: there is no other way to be behind one."""
    del settings
    if resource.type == VULTR and not resource.props.get("firewallGroupId"):
        yield "firewallGroupId: missing"


def firewall_in_stack(resources: Sequence[Declared], settings: Settings) -> Iterable[str]:
    """Each machine is behind a firewall of the same update: of another one, nobody judged the rules."""
    del settings
    firewalls = {r.urn for r in resources if r.type == LINODE_FIREWALL}
    groups = {r.urn for r in resources if r.type == _VULTR_GROUP}
    attached = {target for resource in resources for target in _attached(resource, firewalls)}
    known = {str(r.props["id"]): r.urn for r in resources if r.props.get("id") not in (None, UNKNOWN)}
    for resource in resources:
        if resource.type == LINODE and resource.urn not in attached:
            if not _leads_to(resource, "firewallId", firewalls, known):
                yield f"{resource.name} (linode) is behind no firewall of this stack"
        elif resource.type == VULTR and not _leads_to(resource, "firewallGroupId", groups, known):
            yield f"{resource.name} (vultr) is behind no firewall group of this stack"


def _attached(resource: Declared, firewalls: set[str]) -> tuple[str, ...]:
    """The machines that a firewall or a firewall's device says are behind it."""
    if resource.type == LINODE_FIREWALL and not resource.props.get("disabled"):
        return resource.links.get("linodes", ())
    if resource.type == _LINODE_DEVICE and set(resource.links.get("firewallId", ())) & firewalls:
        return resource.links.get("entityId", ())
    return ()


def _leads_to(resource: Declared, key: str, wanted: set[str], known: dict[str, str]) -> bool:
    value = resource.props.get(key)
    if not value:
        return False
    if set(resource.links.get(key, ())) & wanted:
        return True
    return value is not UNKNOWN and known.get(str(value)) in wanted


RULES = (
    Rule(
        "firewall-named",
        "mandatory",
        "no port of a machine is open between its start and its firewall",
        "give firewallGroupId in the instance itself",
        one=firewall_named,
    ),
    Rule(
        "firewall-in-stack",
        "mandatory",
        "every machine is behind rules that were judged with it",
        "declare the firewall in the same program: firewallId of the instance, linodes of the firewall, a "
        "FirewallDevice, or firewallGroupId on Vultr",
        stack=firewall_in_stack,
    ),
)
