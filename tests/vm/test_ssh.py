"""Who gets in over SSH, and by which algorithms."""

import json
import pathlib
import sys

import pytest

from components.inventory import Node
from tests.stack.people import owner, person
from tests.stack.project import Project
from tests.vm.conftest import configuration

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]


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


@pytest.mark.parametrize("way", ["password", "keyboard-interactive"])
def test_sshd_does_not_even_ask_for_a_password(vm: Project, node: Node, way: str) -> None:
    options = [
        "-F",
        "none",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
    ]
    options += ["-o", f"PreferredAuthentications={way}", "-p", str(node.ssh_port)]

    refused = vm.run("ssh", *options, f"gaxx@{node.ssh_host}", "true", check=255)

    assert "Permission denied (publickey)" in refused.stderr


# paramiko, and Fabric with it, knows no other exchange of ours; OpenSSH's client takes the one that is asked for first.
CLASSICAL = "does not provide protection against post-quantum attacks"


def test_ssh_audit_finds_no_weak_algorithm(vm: Project, node: Node) -> None:
    argv = [sys.executable, "-m", "ssh_audit", "--json", "--skip-rate-test", "-p", str(node.ssh_port), node.ssh_host]
    found = json.loads(vm.run(*argv, check=None).stdout)

    offered = {kind: found[kind] for kind in ("kex", "key", "enc", "mac")}
    assert all(offered.values())
    weak = [
        (kind, entry["algorithm"], note)
        for kind, entries in offered.items()
        for entry in entries
        for level, notes in entry["notes"].items()
        for note in notes
        if level in {"fail", "warn"} and (kind, note) != ("kex", CLASSICAL)
    ]
    assert weak == []
    assert "post-quantum" in str(offered["kex"][0]["notes"]["info"])
    assert found["cves"] == []


def test_an_operator_who_is_removed_is_locked_out_of_running_machines(vm: Project, node: Node) -> None:
    ada, bob = owner(vm), person(vm, "bob")
    vm.configure("demo", {**configuration(), "operators": [ada.entry(), bob.entry()]})
    vm.up(limit_s=900)
    vm.gaxx("run", "--", "true", env=bob.environment)
    vm.gaxx("run", "--via", "ssh", "--", "true", env=bob.environment)

    vm.configure("demo", {**configuration(), "operators": [ada.entry()]})
    vm.up(limit_s=900)

    vm.gaxx("run", "--", "true", env=bob.environment, check=2)
    vm.gaxx("run", "--via", "ssh", "--", "true", env=bob.environment, check=2)
    vm.gaxx("run", "--", "true")
    assert vm.inventory().nodes[0].machine_id == node.machine_id
