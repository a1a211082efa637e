"""The machine's own firewall, asked over IPv4 and IPv6 by a neighbour that the rules name and by one that they do not.

Only what a port says in its own protocol counts as open. Where the firewall lets somebody through and nobody listens,
the machine refuses; where it does not, nothing comes back at all: the two tell the firewall from an empty port.
"""

import re
from collections.abc import Iterable

import pytest

from components.inventory import Node
from tasks.exposure.expected import SAMPLE
from tests.stack.project import Project
from tests.vm import lan
from tests.vm.conftest import configuration
from tests.vm.inside import inside

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

SERVICES = {22: "ssh", 8088: "tls", 9091: "tls", 6060: "none"}
TRUSTED = ("192.0.2.50", "fe80::50")
STRANGER = ("192.0.2.99", "fe80::99")
SILENCE_S = 5.0
SILENCE_OF_ALL_S = 1.0


def declared() -> dict[str, object]:
    """The whole network may try SSH over IPv4 (this computer is in it), of IPv6 the trusted alone."""
    trusted = [f"{TRUSTED[0]}/32", f"{TRUSTED[1]}/128"]
    return configuration(trustedCidrs=trusted, sshCidrs=["192.0.2.0/24", f"{TRUSTED[1]}/128"])


def answers(
    vm: Project, host: lan.Lan, node: Node, address: str, ports: Iterable[int], *, timeout_s: float = SILENCE_S
) -> dict[int, str]:
    """What each port of the machine says to the host beside it."""
    targets = [
        {
            "node": node.name,
            "address": address,
            "tls_name": node.tls_name,
            "port": port,
            "protocol": SERVICES.get(port, "none"),
        }
        for port in ports
    ]
    return host.ask(vm.inventory().authority_certificate, targets, timeout_s)


def addresses(vm: Project) -> tuple[str, str]:
    """The machine's own, of both protocols, as the host beside it has to write them."""
    found = re.search(r"inet6 (fe80:[0-9a-f:]+)/64", inside(vm, "ip -6 address show eth0"))
    assert found
    return "192.0.2.15", f"{found[1]}%{lan.TAP}"


def be(host: lan.Lan, who: tuple[str, str]) -> None:
    host.be(f"{who[0]}/24", f"{who[1]}/64")


def test_a_neighbour_gets_what_the_rules_name_it_for_and_hears_nothing_of_the_rest(vm: Project, node: Node) -> None:
    vm.configure("demo", declared())
    vm.up(limit_s=900)
    assert vm.inventory().nodes[0].machine_id == node.machine_id, "a rule replaces no machine"
    ipv4, ipv6 = addresses(vm)
    silent = dict.fromkeys((6060, *SAMPLE), "filtered")

    with lan.beside(vm, node) as host:
        be(host, TRUSTED)
        # The agent listens at the machine's declared address: over IPv6 the firewall lets through to nobody.
        assert answers(vm, host, node, ipv4, [*SERVICES, *SAMPLE]) == {
            22: "answers", 8088: "answers", 9091: "answers", **silent,
        }  # fmt: skip
        assert answers(vm, host, node, ipv6, [*SERVICES, *SAMPLE]) == {
            22: "answers", 8088: "refused", 9091: "refused", **silent,
        }  # fmt: skip
        be(host, STRANGER)
        closed = {**silent, 8088: "filtered", 9091: "filtered"}
        assert answers(vm, host, node, ipv4, [*SERVICES, *SAMPLE]) == {22: "answers", **closed}
        assert answers(vm, host, node, ipv6, [*SERVICES, *SAMPLE]) == {22: "filtered", **closed}


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_of_all_ports_no_other_one_says_anything(vm: Project, node: Node) -> None:
    vm.configure("demo", declared())
    vm.up(limit_s=900)
    others = [port for port in range(1, 65536) if port not in SERVICES]

    with lan.beside(vm, node) as host:
        for who in (TRUSTED, STRANGER):
            be(host, who)
            for address in addresses(vm):
                said = answers(vm, host, node, address, others, timeout_s=SILENCE_OF_ALL_S)
                assert set(said.values()) == {"filtered"}
