"""6060 to nobody, 8088 and 9091 to the trusted, SSH not to the world: on every cloud, however it is written."""

import ipaddress

import hypothesis
import pytest
from hypothesis import strategies as st

from policy.declared import UNKNOWN, Declared
from tests.policy.examples import (
    changed,
    enrolment,
    gaxx_firewall,
    judge,
    linode_firewall,
    linode_rule,
    vultr_rule,
)

PORT_RULES = ("profiler-port-closed", "agent-ports-trusted-only", "ssh-not-world-open")


def opened(cloud: str, ports: str, *sources: str) -> list[Declared]:
    """The same opening on a cloud; Vultr has one rule a source."""
    if cloud == "linode":
        return [linode_firewall(linode_rule(ports, *sources))]
    if cloud == "vultr":
        return [vultr_rule(ports.replace("-", ":"), source) for source in sources]
    return [gaxx_firewall(f"accept tcp {ports} from {', '.join(sources)}")]


def against(rule: str, resources: list[Declared], **settings: object) -> list[str]:
    return [text for resource in resources for text in judge(rule, resource, **settings)]


@pytest.mark.parametrize("rule", [*PORT_RULES, "inbound-default-drop"])
@pytest.mark.parametrize("resource", [linode_firewall(), vultr_rule("22", "203.0.113.7/32"), enrolment()])
def test_what_a_fleet_declares_is_accepted(rule: str, resource: Declared) -> None:
    assert judge(rule, resource) == []


@pytest.mark.parametrize("cloud", ["linode", "vultr", "ours"])
@pytest.mark.parametrize("source", ["0.0.0.0/0", "10.0.0.0/8", "::/0", "203.0.113.7/32"])
def test_6060_is_refused_from_anywhere(cloud: str, source: str) -> None:
    (text,) = against("profiler-port-closed", opened(cloud, "6060", source))

    assert "6060" in text


@pytest.mark.parametrize("cloud", ["linode", "vultr"])
@pytest.mark.parametrize("ports", ["6000-6100", "1-65535", "6060-6060"])
def test_a_range_that_contains_6060_is_refused(cloud: str, ports: str) -> None:
    assert against("profiler-port-closed", opened(cloud, ports, "10.0.0.0/8"))


@pytest.mark.parametrize("cloud", ["linode", "vultr"])
@pytest.mark.parametrize("ports", ["6061-6100", "6000-6059"])
def test_a_range_beside_6060_is_accepted(cloud: str, ports: str) -> None:
    assert against("profiler-port-closed", opened(cloud, ports, "10.0.0.0/8")) == []


def test_a_linode_rule_that_drops_6060_is_accepted() -> None:
    rule = {**linode_rule("6060", "0.0.0.0/0"), "action": "DROP"}

    assert judge("profiler-port-closed", linode_firewall(rule)) == []


@pytest.mark.parametrize("cloud", ["linode", "vultr", "ours"])
@pytest.mark.parametrize("port", ["8088", "9091"])
@pytest.mark.parametrize(
    "sources",
    [
        ("0.0.0.0/0",),
        ("::/0",),
        ("0.0.0.0/1", "128.0.0.0/1"),
        ("203.0.113.0/24",),
        ("::ffff:0:0/96",),
        ("::ffff:203.0.113.7/128",),
        ("64:ff9b::/96",),
        ("::/64",),
        ("2001:db8::/32",),
        ("10.0.0.0/7",),
        ("172.16.0.0/11",),
    ],
)
def test_the_agents_ports_are_refused_to_strangers(cloud: str, port: str, sources: tuple[str, ...]) -> None:
    (text, *_) = against("agent-ports-trusted-only", opened(cloud, port, *sources))

    assert port in text


@pytest.mark.parametrize("cloud", ["linode", "vultr", "ours"])
@pytest.mark.parametrize(
    "source", ["10.0.0.0/8", "192.168.1.0/24", "100.64.0.0/10", "fd12::/16", "::1/128", "::ffff:10.0.0.0/104"]
)
def test_the_agents_ports_are_accepted_from_private_ranges(cloud: str, source: str) -> None:
    assert against("agent-ports-trusted-only", opened(cloud, "8088", source)) == []


@pytest.mark.parametrize("cloud", ["linode", "vultr", "ours"])
def test_the_agents_ports_are_accepted_from_a_listed_range_and_not_from_beside_it(cloud: str) -> None:
    listed = ["203.0.113.0/25", "203.0.113.128/25"]

    assert against("agent-ports-trusted-only", opened(cloud, "8088", "203.0.113.0/24"), trustedCidrs=listed) == []
    assert against("agent-ports-trusted-only", opened(cloud, "8088", "203.0.112.0/24"), trustedCidrs=listed)


@pytest.mark.parametrize("cloud", ["linode", "vultr"])
def test_a_range_of_ports_around_8088_is_refused_to_strangers(cloud: str) -> None:
    assert against("agent-ports-trusted-only", opened(cloud, "8000-9000", "0.0.0.0/0"))
    assert against("agent-ports-trusted-only", opened(cloud, "8089-9090", "0.0.0.0/0")) == []


@pytest.mark.parametrize("cloud", ["linode", "vultr", "ours"])
@pytest.mark.parametrize(
    "sources", [("0.0.0.0/0",), ("::/0",), ("0.0.0.0/1", "128.0.0.0/1"), ("::ffff:0:0/96",), ("11.0.0.0/8",)]
)
def test_ssh_is_refused_to_the_world(cloud: str, sources: tuple[str, ...]) -> None:
    assert against("ssh-not-world-open", opened(cloud, "22", *sources))


@pytest.mark.parametrize("cloud", ["linode", "vultr", "ours"])
@pytest.mark.parametrize("source", ["203.0.113.7/32", "10.0.0.0/8", "198.51.0.0/16", "2001:db8::/32"])
def test_ssh_is_accepted_from_named_networks(cloud: str, source: str) -> None:
    assert against("ssh-not-world-open", opened(cloud, "22", source)) == []


def test_a_world_in_small_pieces_is_the_world() -> None:
    pieces = [f"{first}.{second}.0.0/16" for first in range(20, 40) for second in range(0, 256, 2)]

    assert judge("ssh-not-world-open", linode_firewall(linode_rule("22", *pieces)))
    assert judge("ssh-not-world-open", linode_firewall(linode_rule("22", *pieces[:3]))) == []


def test_an_enrolment_is_judged_by_its_ranges() -> None:
    assert judge("agent-ports-trusted-only", enrolment(trustedCidrs=["0.0.0.0/0"]))
    assert judge("ssh-not-world-open", enrolment(sshCidrs=["0.0.0.0/1", "128.0.0.0/1"]))


@pytest.mark.parametrize("rule", PORT_RULES)
@pytest.mark.parametrize(
    "resource",
    [
        linode_firewall(linode_rule(None, "0.0.0.0/0")),
        linode_firewall(linode_rule("", "203.0.113.0/24", "0.0.0.0/0")),
        linode_firewall({"action": "ACCEPT", "label": "all", "protocol": "TCP"}),
        linode_firewall(inboundPolicy="ACCEPT", inbounds=[]),
        changed(vultr_rule("22", "0.0.0.0/0"), port=None),
        changed(vultr_rule(None, "10.0.0.0/8"), source="cloudflare"),
    ],
)
def test_no_port_is_every_port_and_no_address_is_everybody(rule: str, resource: Declared) -> None:
    assert judge(rule, resource)


@pytest.mark.parametrize("rule", PORT_RULES)
@pytest.mark.parametrize(
    "resource",
    [
        linode_firewall(inbounds=UNKNOWN),
        linode_firewall(inboundPolicy=UNKNOWN),
        linode_firewall(linode_rule(UNKNOWN, "10.0.0.0/8")),
        linode_firewall({**linode_rule("22"), "ipv4s": UNKNOWN}),
        linode_firewall({**linode_rule("22"), "ipv4s": ["10.0.0.0/8", UNKNOWN]}),
        linode_firewall({**linode_rule("22", "10.0.0.0/8"), "protocol": UNKNOWN}),
        linode_firewall({**linode_rule("22", "10.0.0.0/8"), "action": UNKNOWN, "ports": UNKNOWN}),
        vultr_rule(UNKNOWN, "10.0.0.0/8"),
        vultr_rule("22", "10.0.0.0/8", subnet=UNKNOWN),
        vultr_rule("22", "10.0.0.0/8", subnetSize=UNKNOWN),
        changed(vultr_rule("22", "10.0.0.0/8"), source=UNKNOWN),
        changed(gaxx_firewall(), rules=UNKNOWN),
        enrolment(trustedCidrs=UNKNOWN),
        enrolment(sshCidrs=UNKNOWN),
    ],
)
def test_what_is_not_known_at_preview_is_refused(rule: str, resource: Declared) -> None:
    assert judge(rule, resource)


@pytest.mark.parametrize("rule", PORT_RULES)
@pytest.mark.parametrize(
    "resource",
    [
        linode_firewall(linode_rule("ssh", "10.0.0.0/8")),
        linode_firewall(linode_rule("70000", "10.0.0.0/8")),
        linode_firewall(linode_rule("22", "everybody")),
        vultr_rule("22-", "10.0.0.0/8"),
        gaxx_firewall("let everybody in"),
    ],
)
def test_what_cannot_be_read_is_refused(rule: str, resource: Declared) -> None:
    assert judge(rule, resource)


def test_ping_has_no_ports() -> None:
    for rule in PORT_RULES:
        assert judge(rule, linode_firewall(linode_rule(None, "0.0.0.0/0", protocol="ICMP"))) == []
        assert judge(rule, changed(vultr_rule("22", "0.0.0.0/0"), port=None, protocol="icmp")) == []


@pytest.mark.parametrize("policy", ["ACCEPT", "accept", UNKNOWN, None])
def test_a_linode_firewall_must_drop_by_default(policy: object) -> None:
    assert judge("inbound-default-drop", linode_firewall(inboundPolicy=policy))


@pytest.mark.parametrize("disabled", [True, UNKNOWN])
def test_a_firewall_must_be_on(disabled: object) -> None:
    assert judge("inbound-default-drop", linode_firewall(disabled=disabled))
    assert judge("inbound-default-drop", linode_firewall(disabled=False)) == []


def _ipv4(bits: int, length: int) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network((bits, length), strict=False)


def _ipv6(bits: int, length: int) -> ipaddress.IPv6Network:
    return ipaddress.IPv6Network((bits, length), strict=False)


def _mapped(bits: int, length: int) -> ipaddress.IPv6Network:
    return _ipv6(0xFFFF << 32 | bits, 96 + length)


networks = st.one_of(
    st.builds(_ipv4, st.integers(0, 2**32 - 1), st.integers(0, 32)),
    st.builds(_ipv6, st.integers(0, 2**128 - 1), st.integers(0, 128)),
    st.builds(_mapped, st.integers(0, 2**32 - 1), st.integers(0, 32)),
)


@hypothesis.given(st.integers(0, 65535), st.integers(0, 65535), networks)
def test_6060_is_refused_exactly_where_a_range_contains_it(
    one: int, other: int, network: ipaddress.IPv4Network
) -> None:
    first, last = sorted((one, other))
    for cloud in ("linode", "vultr"):
        found = against("profiler-port-closed", opened(cloud, f"{first}-{last}", str(network)))
        assert bool(found) == (first <= 6060 <= last)


@hypothesis.given(networks)
def test_what_the_agents_ports_accept_holds_no_public_address(network: ipaddress.IPv4Network) -> None:
    if judge("agent-ports-trusted-only", linode_firewall(linode_rule("8088", str(network)))) == []:
        for address in (network[0], network[-1]):
            seen = getattr(address, "ipv4_mapped", None) or address
            assert not seen.is_global, f"{address} of {network} is anybody's"


@hypothesis.given(st.lists(networks, min_size=1, max_size=40))
def test_what_ssh_accepts_is_a_small_part_of_the_world(
    several: list[ipaddress.IPv4Network | ipaddress.IPv6Network],
) -> None:
    rule = linode_rule("22", *(str(network) for network in several))
    if judge("ssh-not-world-open", linode_firewall(rule)) == []:
        public = ipaddress.collapse_addresses(
            n for n in several if isinstance(n, ipaddress.IPv4Network) and n.is_global
        )
        assert sum(n.num_addresses for n in public) <= 2**32 // 4096


@hypothesis.given(st.lists(networks, min_size=1, max_size=10), st.data())
def test_a_range_that_is_split_is_judged_as_before(several: list[ipaddress.IPv4Network], data: st.DataObject) -> None:
    split = [
        str(part)
        for network in several
        for part in (network.subnets() if network.prefixlen < network.max_prefixlen else [network])
    ]
    for rule in PORT_RULES[1:]:
        whole = judge(rule, linode_firewall(linode_rule("1-65535", *map(str, several))))
        pieces = judge(rule, linode_firewall(linode_rule("1-65535", *data.draw(st.permutations(split)))))
        assert bool(whole) == bool(pieces)
