"""Who must be answered where: the stack file's rules, seen from an address."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.fleet_settings import FleetSettings
from components.inventory import Node
from components.settings import parse_settings
from tasks.exposure.expected import SAMPLE, Asked, is_open, ports_of

NODE = Node(
    name="demo-1", fleet="demo", index=1, cloud="qemu", region="", type="small", image="", machine_id="1",
    address="192.0.2.15", reach="ssh", ssh_host="127.80.0.1", ssh_port=22, ssh_user="gaxx", ssh_host_keys=(),
    agent_port=8088, metrics_port=9091, tls_name="demo-1.demo.gaxx", slots=1, groups=(), created="", expires="",
    agent_build="",
)  # fmt: skip
SSH, AGENT, METRICS, PROFILER = ports_of(NODE)[:4]


def a_fleet(cloud: str = "qemu", **more: object) -> FleetSettings:
    settings = parse_settings(
        {"fleets": [{"name": "demo", "cloud": cloud, "nodes": 1, **more}]}, project="gaxx", stack="demo"
    )
    return settings.fleets[0]


def public() -> tuple[FleetSettings, Node]:
    """A machine of a vendor's, whose rules name two ranges."""
    fleet = dataclasses.replace(
        a_fleet(), cloud="linode", ssh_cidrs=("203.0.113.0/24",), trusted_cidrs=("10.0.0.0/8", "2001:db8:1::/48")
    )
    return fleet, NODE._replace(cloud="linode", address="198.51.100.7", ssh_host="198.51.100.7")


@pytest.mark.parametrize(
    ("asked", "source", "must"),
    [
        (SSH, "203.0.113.9", True),
        (SSH, "10.1.2.3", False),
        (AGENT, "10.1.2.3", True),
        (METRICS, "10.255.255.255", True),
        (AGENT, "203.0.113.9", False),
        (AGENT, "2001:db8:1:ffff::1", True),
        (AGENT, "2001:db8:2::1", False),
        (PROFILER, "10.1.2.3", False),
    ],
)
def test_a_port_is_open_to_the_ranges_that_its_rule_names(asked: Asked, source: str, must: bool) -> None:
    fleet, node = public()
    assert is_open(fleet, node, asked, source, inside=True) is must


@given(st.ip_addresses(), st.sampled_from([*SAMPLE, 6060]))
def test_what_nobody_declared_is_open_to_nobody(source: object, port: int) -> None:
    fleet, node = public()
    asked = next(one for one in ports_of(node) if one.port == port)
    assert not is_open(fleet, node, asked, str(source), inside=True)


def test_a_virtual_machine_here_shows_its_sshd_alone() -> None:
    fleet = a_fleet(trustedCidrs=["192.0.2.0/24"])
    assert is_open(fleet, NODE, SSH, fleet.ssh_cidrs[0].partition("/")[0], inside=False)
    assert not is_open(fleet, NODE, AGENT, "192.0.2.2", inside=False)


def test_a_local_node_shares_all_but_its_own_ports_with_the_computer() -> None:
    node = NODE._replace(cloud="local", address="127.80.0.1")
    assert [asked.port for asked in ports_of(node)] == [22, 8088, 9091, 6060]
    assert [asked.port for asked in ports_of(node, (80, 8088))] == [22, 8088, 9091, 6060, 80]
    assert is_open(a_fleet("local"), node, AGENT, "127.0.0.1", inside=False)
