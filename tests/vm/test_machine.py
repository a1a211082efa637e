"""A machine with a kernel and a systemd of its own: what works on it, and what nobody can do there."""

import json
import pathlib
import re

import pytest

from components.inventory import Node
from tests.stack.project import Project
from tests.vm.conftest import configuration
from tests.vm.inside import inside

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]


def test_commands_items_and_files_go_there_and_back(vm: Project, tmp_path: pathlib.Path) -> None:
    sent = tmp_path / "sent.bin"
    sent.write_bytes(bytes(range(256)) * 4096)

    assert vm.gaxx("run", "--", "uname", "-r").stdout.splitlines()[1].startswith("6.")
    mapped = vm.gaxx("map", "--json", "--", "echo", "{}", stdin="".join(f"{item}\n" for item in range(200)))
    vm.gaxx("put", str(sent))
    vm.gaxx("get", "sent.bin", str(tmp_path / "back"))

    assert json.loads(mapped.stdout.splitlines()[-1])["ok"] == 200
    # Both have the same, which is then kept once.
    (back,) = (tmp_path / "back").rglob("sent.bin")
    assert back.read_bytes() == sent.read_bytes()
    vm.pulumi("preview", "--expect-no-changes")


def test_an_item_reads_neither_keys_nor_tokens_and_does_not_reach_agent_or_metadata(vm: Project) -> None:
    for path in ("/etc/gaxx/tls/node.key", "/etc/gaxx/tokens", "/etc/gaxx/manifest.json"):
        assert "Permission denied" in inside(vm, f"cat {path}")
    agent = re.search(r"MainPID=(\d+)", inside(vm, "systemctl show --property MainPID gaxx-agent"))
    assert agent
    assert "not permitted" in inside(vm, f"kill -TERM {agent[1]}").lower()
    assert "Permission denied" in inside(vm, "ls /run/gaxx-agent")
    # systemd shows a service its own credentials alone.
    assert re.search("Permission denied|No such file", inside(vm, "cat /run/credentials/gaxx-agent.service/tokens"))
    connect = "import socket; socket.socket(socket.AF_UNIX).connect('/run/gaxx/runner.sock')"
    assert "PermissionError" in inside(vm, f'python3 -c "{connect}"')
    assert "refused" in inside(vm, "timeout 5 bash -c '</dev/tcp/169.254.169.254/80'")
    assert "uid=0" not in inside(vm, "sudo -n id; id")


def test_from_here_the_sshds_answer_and_nothing_else(vm: Project) -> None:
    cells = [json.loads(line) for line in vm.gaxx("status", "--exposure", "--json").stdout.splitlines()]

    assert [(cell["node"], cell["name"]) for cell in cells if cell["open"]] == [("demo-1", "SSH"), ("demo-2", "SSH")]
    assert all(cell["right"] for cell in cells)
    assert {cell["source"] for cell in cells} == {"192.0.2.2"}, "as the machine sees us"


def test_systemd_finds_both_services_closed(vm: Project) -> None:
    levels = {}
    for unit in ("agent", "runner"):
        argv = ("systemd-analyze", "security", f"gaxx-{unit}.service")
        said = vm.gaxx("run", "-n", "demo-1", "--via", "ssh", "--", *argv).stdout
        found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
        assert found, said
        levels[unit] = float(found[1])
    assert levels["agent"] <= 1.5
    assert levels["runner"] <= 3.5


def test_settings_change_in_place_and_a_rule_is_in_force_at_once(vm: Project, node: Node) -> None:
    vm.configure("demo", configuration(env={"COLOUR": "teal"}, trustedCidrs=["198.51.100.0/24"]))
    vm.up(limit_s=600)

    after = vm.inventory().nodes[0]
    assert after.machine_id == node.machine_id
    assert inside(vm, "echo $COLOUR").strip() == "teal"
    assert "198.51.100.0/24" in inside(vm, "cat /etc/nftables.conf")
