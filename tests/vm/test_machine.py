"""A machine with a kernel and a systemd of its own: what works on it, and what nobody can do there."""

import datetime as dt
import json
import pathlib
import re

import pytest

from components.inventory import Node
from components.provider import ssh_session
from components.provider.ssh_session import Endpoint, LoginRefusedError
from tests.stack import node_access
from tests.stack.project import Project
from tests.vm.conftest import configuration
from tests.waiting import alive, until

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]


def inside(vm: Project, script: str) -> str:
    """What an item that executes `script` says, whatever its exit code."""
    (outcome,) = (
        json.loads(line)
        for line in vm.gaxx("run", "--json", "--", "sh", "-c", script, check=None).stdout.splitlines()
        if '"node"' in line
    )
    return str(outcome["stdout"]) + str(outcome["stderr"])


def test_commands_items_and_files_go_there_and_back(vm: Project, tmp_path: pathlib.Path) -> None:
    sent = tmp_path / "sent.bin"
    sent.write_bytes(bytes(range(256)) * 4096)

    assert vm.gaxx("run", "--", "uname", "-r").stdout.splitlines()[1].startswith("6.")
    mapped = vm.gaxx("map", "--json", "--", "echo", "{}", stdin="".join(f"{item}\n" for item in range(200)))
    vm.gaxx("put", str(sent))
    vm.gaxx("get", "sent.bin", str(tmp_path / "back"))

    assert json.loads(mapped.stdout.splitlines()[-1])["ok"] == 200
    (back,) = (path for path in (tmp_path / "back").rglob("sent.bin"))
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


def test_from_here_its_sshd_answers_and_nothing_else(vm: Project) -> None:
    cells = [json.loads(line) for line in vm.gaxx("status", "--exposure", "--json").stdout.splitlines()]

    assert [cell["name"] for cell in cells if cell["open"]] == ["SSH"]
    assert all(cell["right"] for cell in cells)
    assert {cell["source"] for cell in cells} == {"192.0.2.2"}, "as the machine sees us"


def test_systemd_finds_both_services_closed(vm: Project) -> None:
    said = vm.gaxx("run", "--via", "ssh", "--", "systemd-analyze", "security", "gaxx-agent", "gaxx-runner").stdout
    levels = {}
    for unit in ("agent", "runner"):
        one = vm.gaxx("run", "--via", "ssh", "--", "systemd-analyze", "security", f"gaxx-{unit}.service").stdout
        found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", one)
        assert found, said
        levels[unit] = float(found[1])
    assert levels["agent"] <= 1.5
    assert levels["runner"] <= 3.5


def test_what_the_user_data_held_opens_nothing_and_is_not_on_the_machine(vm: Project, node: Node) -> None:
    login = node_access.bootstrap_login(vm, node)

    with pytest.raises(LoginRefusedError), ssh_session.connect(node_access.endpoint(node), login):
        pass
    bootstrap_host_key = vm.resource("BootstrapIdentity", node.name)["outputs"]["hostPublicKey"]
    assert bootstrap_host_key.split()[1] not in " ".join(node.ssh_host_keys)
    old = Endpoint(node.name, node.ssh_host, node.ssh_port, (bootstrap_host_key,))
    with pytest.raises(ssh_session.HostKeyChangedError), ssh_session.connect(old, login):
        pass
    left = inside(vm, "ls /var/lib/cloud/instances /var/lib/cloud/instance; ls /etc/cloud/cloud-init.disabled")
    assert left.count("No such file") == 2
    assert "/etc/cloud/cloud-init.disabled" in left


@pytest.mark.parametrize("user", ["root", "gaxx-enrol", "gaxx", "nobody"])
def test_no_password_and_no_stranger_logs_in(vm: Project, node: Node, tmp_path: pathlib.Path, user: str) -> None:
    stranger = tmp_path / "stranger"
    vm.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger))
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text("".join(f"[{node.ssh_host}]:{node.ssh_port} {key}\n" for key in node.ssh_host_keys))
    options = ["-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={known_hosts}"]
    options += ["-o", "IdentitiesOnly=yes", "-i", str(stranger), "-p", str(node.ssh_port)]

    refused = vm.run("ssh", *options, f"{user}@{node.ssh_host}", "true", check=255)

    assert "Permission denied (publickey)" in refused.stderr


def test_settings_change_in_place_and_a_rule_is_in_force_at_once(vm: Project, node: Node) -> None:
    vm.configure("demo", configuration(env={"COLOUR": "teal"}, trustedCidrs=["198.51.100.0/24"]))
    vm.up(limit_s=600)

    after = vm.inventory().nodes[0]
    assert after.machine_id == node.machine_id
    assert inside(vm, "echo $COLOUR").strip() == "teal"
    assert "198.51.100.0/24" in inside(vm, "cat /etc/nftables.conf")


def test_a_reboot_brings_the_agent_back_and_nothing_else(vm: Project, node: Node) -> None:
    boot = inside(vm, "cat /proc/sys/kernel/random/boot_id")
    vm.gaxx("audit")
    kill_qemu(vm, node)
    vm.up(limit_s=1200)

    def answers() -> bool:
        return vm.gaxx("run", "--", "true", check=None).code == 0

    until(answers, deadline_s=120)
    assert inside(vm, "cat /proc/sys/kernel/random/boot_id") != boot
    # A power cut must not look like a trail that somebody has cut.
    vm.gaxx("audit", "verify")
    assert vm.inventory().nodes[0].machine_id == node.machine_id
    login = node_access.bootstrap_login(vm, node)
    with pytest.raises(LoginRefusedError), ssh_session.connect(node_access.endpoint(node), login):
        pass


def test_at_its_end_a_machine_wipes_its_secrets_and_powers_itself_off(vm: Project, node: Node) -> None:
    pid = int((vm.machine(node.name) / "qemu.pid").read_text())
    age_s = (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(node.created)).total_seconds()
    vm.configure("demo", {**configuration(), "ttl": f"{int(age_s) + 180}s"})
    vm.up(limit_s=600)
    assert "left" in inside(vm, "systemctl list-timers gaxx-expire.timer")

    until(lambda: not alive(pid), deadline_s=300)

    console = (vm.machine(node.name) / "serial.log").read_text(errors="replace")
    assert "power" in console.lower().rsplit("login:", 1)[-1]


def kill_qemu(vm: Project, node: Node) -> None:
    """As a power cut would."""
    pid = int((vm.machine(node.name) / "qemu.pid").read_text())
    vm.run("kill", "-KILL", str(pid))
    until(lambda: not pathlib.Path(f"/proc/{pid}").exists())
