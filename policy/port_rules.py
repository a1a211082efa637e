"""Which ports may be open to whom: 6060 to nobody, 8088 and 9091 to the trusted, SSH not to the world."""

from collections.abc import Iterable

from policy import address_ranges
from policy.declared import Declared
from policy.openings import FIREWALLS, LINODE_FIREWALL, Opening, openings
from policy.rule import Rule, Settings, number, string_list

PROFILE_PORT = 6060
TRUSTED_PORTS = (8088, 9091)
SSH_PORTS = (22, 2222)


def profiler_closed(resource: Declared, settings: Settings) -> Iterable[str]:
    """6060 is open to nobody, not even to private ranges."""
    del settings
    opened = openings(resource)
    yield from opened.faults
    for opening in opened.found:
        if opening.covers(PROFILE_PORT):
            yield f"{opening.where}: {_ports(opening)} opens 6060 to {address_ranges.shown(opening.sources)}"


def agent_ports_trusted(resource: Declared, settings: Settings) -> Iterable[str]:
    """8088 and 9091 are open to private and listed ranges only."""
    opened = openings(resource)
    yield from opened.faults
    allowed = [address_ranges.read(text) for text in settings["trustedCidrs"]]
    for opening in opened.found:
        ports = [str(port) for port in TRUSTED_PORTS if opening.covers(port)]
        strangers = address_ranges.outside(opening.sources, allowed) if ports else ()
        if strangers:
            yield f"{opening.where}: {_ports(opening)} opens {' and '.join(ports)} to {address_ranges.shown(strangers)}"


def ssh_not_world_open(resource: Declared, settings: Settings) -> Iterable[str]:
    """SSH is open to no range, and to no sum of ranges, that is much of the world."""
    opened = openings(resource)
    yield from opened.faults
    concerned = [opening for opening in opened.found if any(opening.covers(port) for port in SSH_PORTS)]
    wide = address_ranges.too_much_of_the_world(
        (source for opening in concerned for source in opening.sources),
        widest_ipv4=int(settings["widestIpv4"]),
        widest_ipv6=int(settings["widestIpv6"]),
    )
    if wide:
        where = ", ".join(dict.fromkeys(opening.where for opening in concerned))
        yield f"{where}: SSH is open to {address_ranges.shown(wide)}"


def inbound_default_drop(resource: Declared, settings: Settings) -> Iterable[str]:
    """What no rule accepts is dropped: a Vultr group always does that, a Linode firewall says what it does."""
    del settings
    if resource.type != LINODE_FIREWALL:
        return
    policy = resource.props.get("inboundPolicy")
    if policy != "DROP":
        yield f"inboundPolicy: {policy if isinstance(policy, str) else 'not known at preview'}, not DROP"
    if resource.props.get("disabled") not in (None, False):
        yield "disabled: a firewall that is off drops nothing"


def _ports(opening: Opening) -> str:
    return f"port {opening.first}" if opening.first == opening.last else f"ports {opening.first}-{opening.last}"


RULES = (
    Rule(
        "profiler-port-closed",
        "mandatory",
        "the profiler's port 6060 shows memory and code of a node to whoever reaches it",
        "take 6060 out of the ports (a range that contains it is split around it); `gaxx profile` needs no open port",
        one=profiler_closed,
    ),
    Rule(
        "agent-ports-trusted-only",
        "mandatory",
        "8088 executes commands and 9091 tells what a node does",
        "name private ranges (10.0.0.0/8), or list your own network as trustedCidrs of this rule in the pack's "
        "configuration; from elsewhere use `reach: ssh`",
        one=agent_ports_trusted,
        parameters={"trustedCidrs": string_list("Public ranges that may reach 8088 and 9091 besides private ones.")},
    ),
    Rule(
        "ssh-not-world-open",
        "mandatory",
        "SSH that everybody reaches is tried by everybody",
        "name the addresses that you connect from (203.0.113.7/32), or a jump host's",
        one=ssh_not_world_open,
        parameters={
            "widestIpv4": number("Shortest prefix of a public IPv4 range.", 16, minimum=1, maximum=32),
            "widestIpv6": number("Shortest prefix of a public IPv6 range.", 32, minimum=1, maximum=128),
        },
    ),
    Rule(
        "inbound-default-drop",
        "mandatory",
        "a port that nobody thought of is closed",
        "set inboundPolicy to DROP, leave the firewall enabled, and accept what is needed",
        one=inbound_default_drop,
    ),
)
JUDGED = FIREWALLS
