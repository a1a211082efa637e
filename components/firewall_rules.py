"""Firewall rules as data, and as nftables text: the same few rules for every cloud and every node.

    components/ports -> rules() -> the cloud's firewall
                               -> nftables(), in force on the node itself

Everything that no rule accepts is dropped.
"""

import dataclasses
import typing
from collections.abc import Iterable, Sequence

from components import cidrs
from components.fleet_settings import FleetSettings
from components.ports import Port, ssh_port

Action = typing.Literal["accept", "drop"]

EVERYWHERE = ("0.0.0.0/0", "::/0")
METADATA_ADDRESSES = ("169.254.169.254", "fd00:ec2::254", "fd00:a9fe:a9fe::1")
"""Where clouds answer questions about a machine, its user-data among them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One port, and from where it may be reached (or not)."""

    action: Action
    protocol: typing.Literal["tcp"]
    port: Port
    sources: tuple[str, ...]
    """Canonical ranges, merged, IPv4 before IPv6."""
    label: str
    """3 to 32 characters, unique in a firewall (Linode's limits)."""


def rules(fleet: FleetSettings) -> tuple[Rule, ...]:
    """The rules of a fleet, always in the same order: SSH, agent, metrics, and the profiler's port denied."""
    return rules_for(ssh_port(fleet.cloud), fleet.ssh_cidrs, fleet.trusted_cidrs)


def rules_for(ssh: Port, ssh_cidrs: Iterable[str], trusted_cidrs: Iterable[str]) -> tuple[Rule, ...]:
    """The same, from what a fleet's settings say."""
    found = [
        _accept(ssh, ssh_cidrs, "ssh"),
        _accept(Port.AGENT, trusted_cidrs, "agent"),
        _accept(Port.METRICS, trusted_cidrs, "metrics"),
    ]
    return (*(rule for rule in found if rule.sources), DENY_PROFILE)


def boot_rules() -> tuple[Rule, ...]:
    """What a machine admits before enrolment: SSH alone, kept from strangers by the cloud's firewall and by keys."""
    return (_accept(Port.SSH, EVERYWHERE, "ssh"), DENY_PROFILE)


def nftables(entries: Sequence[Rule], *, metadata_denied: bool = False) -> str:
    """A ruleset for `nft -f`: replaces our table as a whole and touches no other."""
    accepted = [line for rule in entries if rule.action == "accept" for line in _lines(rule)]
    denied = [line for rule in entries if rule.action == "drop" for line in _lines(rule)]
    lines = [
        # Declared first so that deleting it cannot fail; nft applies the file as one transaction.
        "table inet gaxx",
        "delete table inet gaxx",
        "table inet gaxx {",
        "  chain input {",
        "    type filter hook input priority filter; policy drop;",
        "    ct state established,related accept",
        "    ct state invalid drop",
        "    iifname lo accept",
        *(f"    {line}" for line in denied),
        "    icmp type { destination-unreachable, time-exceeded, parameter-problem } accept",
        "    icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept",
        "    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } ip6 hoplimit 255 accept",
        # A DHCP server answers from an address that nothing was sent to.
        "    udp sport 67 udp dport 68 accept",
        "    ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept",
        *(f"    {line}" for line in accepted),
        "  }",
        *(_metadata_chain() if metadata_denied else ()),
        "}",
        "",
    ]
    return "\n".join(lines)


def _accept(port: Port, sources: Iterable[str], label: str) -> Rule:
    merged = cidrs.merged(cidrs.parse(source) for source in sources)
    return Rule("accept", "tcp", port, tuple(str(network) for network in merged), f"gaxx-{label}")


DENY_PROFILE = Rule("drop", "tcp", Port.PROFILE, EVERYWHERE, "gaxx-no-profile")
"""Nothing listens on 6060; the rule says so to whoever reads a firewall."""


def _lines(rule: Rule) -> list[str]:
    verdict = f"tcp dport {rule.port.value} {rule.action}"
    if set(rule.sources) == set(EVERYWHERE):
        return [verdict]
    lines = []
    for family, separator in (("ip", "."), ("ip6", ":")):
        sources = [source for source in rule.sources if separator in source]
        if sources:
            lines.append(f"{family} saddr {{ {', '.join(sources)} }} {verdict}")
    return lines


def _metadata_chain() -> list[str]:
    lines = ["  chain output {", "    type filter hook output priority filter; policy accept;"]
    for address in METADATA_ADDRESSES:
        family = "ip6" if ":" in address else "ip"
        lines.append(f"    {family} daddr {address} reject")
    return [*lines, "  }"]
