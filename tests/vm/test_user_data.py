"""What a machine was booted with is worth nothing once it is enrolled, and nothing secret is on its disk."""

import json
import os
import pathlib
import subprocess

import pytest

from components.inventory import Node
from tests.stack.project import Project
from tests.vm import disk, hypervisor, user_data
from tests.vm.inside import as_root
from tests.waiting import until

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]


def secrets_of_others(vm: Project, node: Node) -> dict[str, str]:
    """Values that only a controller may have, and single-use ones that were the machine's."""
    (authority,) = vm.private.glob("authorities/*.pem")
    operator = vm.home / "config/gaxx/operator"
    token = vm.inventory().principals[0].token
    assert token
    return {
        # Behind the key is the certificate, which everybody may have.
        "authority": authority.read_text().partition("-----END PRIVATE KEY")[0],
        "operator's SSH key": (operator / "ssh_ed25519").read_text(),
        "operator's TLS key": (operator / "tls.key").read_text(),
        "passphrase": (vm.home / "passphrase").read_text().strip(),
        "token": token,
        **{f"bootstrap {name} key": key for name, key in user_data.secrets(vm, node).items()},
    }


def test_neither_disk_nor_environment_holds_a_secret_but_the_machines_own(
    vm: Project, node: Node, tmp_path: pathlib.Path
) -> None:
    secrets = secrets_of_others(vm, node)
    environments = as_root(vm, "sync; cat /proc/[0-9]*/environ | tr '\\0' '\\n'")
    own = as_root(vm, "cat /etc/gaxx/tls/node.key")

    found = disk.holds(vm, node, {**secrets, "own": own}, tmp_path)

    assert found == {"own"}, "what is there is found, and nothing else is"
    assert "GAXX_AGENT_TLS_CERT=" in environments
    assert not [name for name, value in secrets.items() if disk.telling(value).decode() in environments]


def test_what_the_user_data_held_opens_nothing(vm: Project, node: Node) -> None:
    assert user_data.doors_opened(vm, node) == []
    left = as_root(vm, "ls -d /var/lib/cloud/instance* /var/lib/cloud/seed /var/log/cloud-init* 2>&1")
    assert left.count("No such file") == 3
    assert "/etc/cloud/cloud-init.disabled" in as_root(vm, "ls /etc/cloud/cloud-init.disabled")


def test_after_a_power_cut_and_under_another_instance_id_it_is_as_before_and_opens_nothing(
    vm: Project, node: Node
) -> None:
    boot = as_root(vm, "cat /proc/sys/kernel/random/boot_id")
    vm.gaxx("audit")
    hypervisor.cut_power(vm, node)
    seed(vm, node, f"{node.machine_id}-anew")

    vm.up(limit_s=1200)

    until(lambda: vm.gaxx("run", "--", "true", check=None).code == 0, deadline_s=120)
    assert as_root(vm, "cat /proc/sys/kernel/random/boot_id") != boot
    assert vm.inventory().nodes[0].machine_id == node.machine_id
    assert user_data.doors_opened(vm, vm.inventory().nodes[0]) == []
    # A power cut does not look like a trail that somebody has cut.
    vm.gaxx("audit", "verify")


def seed(vm: Project, node: Node, instance_id: str) -> None:
    """Put the same user-data beside the machine, under another id: what rebuilding does on a cloud."""
    folder = vm.machine(node.name)
    files = {
        "user-data": user_data.text(vm, node),
        "meta-data": json.dumps({"instance-id": instance_id, "local-hostname": node.name}),
    }
    argv = ["genisoimage", "-quiet", "-volid", "cidata", "-joliet", "-rock", "-output", str(folder / "seed.iso")]
    owner = (folder / "seed.iso").stat()
    for name, content in files.items():
        (folder / name).write_text(content)
    subprocess.run([*argv, *(str(folder / name) for name in files)], check=True)
    os.chown(folder / "seed.iso", owner.st_uid, owner.st_gid)
    for name in files:
        (folder / name).unlink()
