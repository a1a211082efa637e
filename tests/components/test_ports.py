"""The closed set of ports."""

import re
from pathlib import Path

import pytest

from components.ports import Port, ssh_port


def test_every_port_says_from_where_it_is_reached() -> None:
    assert {port: port.access for port in Port} == {
        Port.SSH: "ssh",
        Port.LOCAL_SSH: "ssh",
        Port.AGENT: "trusted",
        Port.METRICS: "trusted",
        Port.PROFILE: "denied",
        Port.CONTROLLER: "controller",
    }


def test_the_numbers_are_the_documented_ones() -> None:
    assert sorted(port.value for port in Port) == [22, 2222, 6060, 8088, 9090, 9091]


@pytest.mark.parametrize(("cloud", "port"), [("local", 2222), ("qemu", 22), ("linode", 22), ("vultr", 22)])
def test_only_local_nodes_have_ssh_elsewhere(cloud: str, port: int) -> None:
    assert ssh_port(cloud) == port


def test_the_ports_that_ssh_forwards_to_are_the_trusted_ones() -> None:
    path = Path(__file__).parents[2] / "components/cloudinit/files/20-gaxx-forwarding.conf"
    numbers = [int(number) for number in re.findall(r"127\.0\.0\.1:(\d+)", path.read_text())]
    assert numbers == [port.value for port in Port if port.access == "trusted"]
