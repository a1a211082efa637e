"""The machine's own firewall, asked by a source that the rules name and by one that they do not.

QEMU lets this computer in at the guest's 192.0.2.2. It accepts before the guest does, so that only what a port says in
its own protocol tells whether the guest let us through.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator, Sequence

import pytest

from components.inventory import Node
from tasks.exposure import probe
from tasks.exposure.expected import SAMPLE
from tests.stack.project import Project
from tests.vm.conftest import configuration

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

US = "192.0.2.2/32"
ELSEWHERE = "198.51.100.0/24"
PORTS = {22: "ssh", 8088: "tls", 9091: "tls", 6060: "none", **dict.fromkeys(SAMPLE, "none")}
FIRST = 20_000
"""Where this computer finds the guest's ports, each so much higher."""


@contextlib.contextmanager
def forwarded(vm: Project, node: Node, ports: Sequence[int]) -> Iterator[None]:
    """Lead from the node's address here to these ports of the guest, as far as QEMU is concerned."""
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.settimeout(30)
        # A socket's name ends at 107 bytes; the folder's own is longer.
        with contextlib.chdir(vm.machine(node.name)):
            monitor.connect("monitor.sock")
        talk = monitor.makefile("rwb")
        talk.readline()

        def execute(command: str, **arguments: str) -> str:
            talk.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
            talk.flush()
            while True:
                said = json.loads(talk.readline())
                assert "error" not in said, said
                if "return" in said:
                    return str(said["return"])

        execute("qmp_capabilities")
        rules = [f"tcp:{node.ssh_host}:{FIRST + port}" for port in ports]
        for rule, port in zip(rules, ports, strict=True):
            refused = execute("human-monitor-command", **{"command-line": f"hostfwd_add net0 {rule}-:{port}"})
            assert refused in {"", "{}"}, refused
        try:
            yield
        finally:
            for rule in rules:
                execute("human-monitor-command", **{"command-line": f"hostfwd_remove net0 {rule}"})
            talk.close()


def answering(vm: Project, node: Node) -> set[int]:
    """The ports on which the guest itself says anything."""
    targets = [
        {"node": node.name, "address": node.ssh_host, "tls_name": node.tls_name, "port": FIRST + port, "protocol": how}
        for port, how in PORTS.items()
    ]
    request = {"authority": vm.inventory().authority_certificate, "timeout_s": 10.0, "targets": targets}
    with forwarded(vm, node, list(PORTS)):
        answers = asyncio.run(probe.ask(request))
    return {answer["port"] - FIRST for answer in answers if answer["answer"] in {"answers", "foreign"}}


def test_whom_the_rules_name_gets_agent_and_metrics_and_others_only_what_ssh_names(vm: Project, node: Node) -> None:
    vm.configure("demo", configuration(trustedCidrs=[ELSEWHERE]))
    vm.up(limit_s=900)
    assert answering(vm, node) == {22}

    vm.configure("demo", configuration(trustedCidrs=[US]))
    vm.up(limit_s=900)
    assert answering(vm, node) == {22, 8088, 9091}
    assert vm.inventory().nodes[0].machine_id == node.machine_id, "a rule replaces no machine"
