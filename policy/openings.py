"""Every cloud's firewall in one form: which ports are open to which sources.

What cannot be read or is not known yet is a fault, and a fault is refused: a rule that could not be judged
must not pass for one that opens nothing.
"""

import dataclasses
import re

from policy.address_ranges import WORLD, Network, read
from policy.declared import UNKNOWN, Declared, texts

LINODE_FIREWALL = "linode:index/firewall:Firewall"
VULTR_RULE = "vultr:index/firewallRule:FirewallRule"
GAXX_FIREWALL = "gaxx:index:Firewall"
GAXX_ENROLMENT = "gaxx:index:Enrolment"
FIREWALLS = (LINODE_FIREWALL, VULTR_RULE, GAXX_FIREWALL, GAXX_ENROLMENT)

HIGHEST_PORT = 65535
_SSH_PORTS = (22, 2222)
_TRUSTED_PORTS = (8088, 9091)
_GAXX_RULE = re.compile(r"(accept|drop) (tcp|udp) ([0-9]+) from (.+)")
_PORTLESS = frozenset({"icmp", "gre", "esp", "ah", "ipencap"})


@dataclasses.dataclass(frozen=True, slots=True)
class Opening:
    """Ports from `first` to `last` that `sources` may reach."""

    where: str
    """The property that says so."""
    first: int
    last: int
    sources: tuple[Network, ...]

    def covers(self, port: int) -> bool:
        """Whether `port` is among them."""
        return self.first <= port <= self.last


@dataclasses.dataclass(frozen=True, slots=True)
class Openings:
    """What a firewall opens, and what of it could not be judged."""

    found: tuple[Opening, ...]
    faults: tuple[str, ...] = ()


def openings(resource: Declared) -> Openings:
    """Read a firewall or a firewall's rule; what is neither opens nothing."""
    readers = {
        LINODE_FIREWALL: _linode,
        VULTR_RULE: _vultr,
        GAXX_FIREWALL: _gaxx_firewall,
        GAXX_ENROLMENT: _gaxx_enrolment,
    }
    reader = readers.get(resource.type)
    return reader(resource) if reader else Openings(())


def port_spans(text: str) -> list[tuple[int, int]]:
    """Read `22, 80-90` (or `80:90`); raise ValueError."""
    spans = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,5})\s*(?:[-:]\s*([0-9]{1,5}))?\s*", part, re.ASCII)
        if match is None:
            message = f"{text!r} are not ports"
            raise ValueError(message)
        first, last = int(match.group(1)), int(match.group(2) or match.group(1))
        if not 0 <= first <= last <= HIGHEST_PORT:
            message = f"{text!r} are not ports"
            raise ValueError(message)
        spans.append((first, last))
    return spans


def _linode(resource: Declared) -> Openings:
    props = resource.props
    found: list[Opening] = []
    faults: list[str] = []
    if str(props.get("inboundPolicy")).upper() != "DROP":
        # Whatever no rule drops is open. Rules that drop are not counted on: their order and sources matter.
        found.append(Opening("inboundPolicy", 0, HIGHEST_PORT, WORLD))
    inbounds = props.get("inbounds") or []
    if not isinstance(inbounds, list):
        return Openings(tuple(found), ("inbounds: not known at preview",))
    for index, rule in enumerate(inbounds):
        where = f"inbounds[{index}]"
        if not isinstance(rule, dict):
            faults.append(f"{where}: not known at preview")
        elif str(rule.get("action")).upper() != "DROP":
            _add(found, faults, where, rule, rule.get("ports"), _linode_sources(rule))
    return Openings(tuple(found), tuple(faults))


def _linode_sources(rule: dict[str, object]) -> object:
    listed = [rule.get("ipv4s"), rule.get("ipv6s")]
    if UNKNOWN in listed:
        return UNKNOWN
    sources = [item for addresses in listed if isinstance(addresses, list) for item in addresses]
    # A rule that names no address restricts none.
    return sources or [str(network) for network in WORLD]


def _vultr(resource: Declared) -> Openings:
    props = resource.props
    found: list[Opening] = []
    faults: list[str] = []
    source, subnet, size = (props.get(key) for key in ("source", "subnet", "subnetSize"))
    if UNKNOWN in (source, subnet, size):
        sources: object = UNKNOWN
    elif source:
        # "cloudflare" or a load balancer: then the subnet is ignored, and who comes through is anybody.
        sources = [str(network) for network in WORLD]
    else:
        sources = [f"{subnet}/{size}"]
    _add(found, faults, "port", dict(props), props.get("port"), sources)
    return Openings(tuple(found), tuple(faults))


def _gaxx_firewall(resource: Declared) -> Openings:
    found: list[Opening] = []
    faults: list[str] = []
    rules = resource.props.get("rules")
    if rules is UNKNOWN:
        return Openings((), ("rules: not known at preview",))
    for index, rule in enumerate(rules if isinstance(rules, list) else []):
        where = f"rules[{index}]"
        match = _GAXX_RULE.fullmatch(rule) if isinstance(rule, str) else None
        if match is None:
            faults.append(f"{where}: cannot be read")
        elif match.group(1) == "accept":
            _add(found, faults, where, {"protocol": match.group(2)}, match.group(3), match.group(4).split(", "))
    return Openings(tuple(found), tuple(faults))


def _gaxx_enrolment(resource: Declared) -> Openings:
    """The node's own ruleset and its agent's bind are made of these two lists."""
    found: list[Opening] = []
    faults: list[str] = []
    for key, ports in (("sshCidrs", _SSH_PORTS), ("trustedCidrs", _TRUSTED_PORTS)):
        for port in ports:
            _add(found, faults, key, {"protocol": "tcp"}, str(port), resource.props.get(key, []))
    return Openings(tuple(found), tuple(dict.fromkeys(faults)))


def _add(
    found: list[Opening], faults: list[str], where: str, rule: dict[str, object], ports: object, sources: object
) -> None:
    """Note what a rule opens, or why that cannot be told."""
    protocol = rule.get("protocol")
    if not isinstance(protocol, str):
        faults.append(f"{where}: the protocol is not known at preview")
        return
    if protocol.lower() in _PORTLESS:
        return
    if sources is UNKNOWN or (isinstance(sources, list) and UNKNOWN in sources):
        faults.append(f"{where}: the sources are not known at preview")
        return
    if ports is UNKNOWN:
        faults.append(f"{where}: the ports are not known at preview")
        return
    try:
        networks = tuple(read(source) for source in texts(sources))
        # No port is every port.
        spans = port_spans(str(ports)) if ports not in (None, "") else [(0, HIGHEST_PORT)]
    except ValueError as error:
        faults.append(f"{where}: {error}")
        return
    found.extend(Opening(where, first, last, networks) for first, last in spans if networks)
