"""What a machine of its own gets from repositories: declared packages in place, the time, security updates.

Everything in the guest is emulated, apt too, and its own upkeep may hold apt's locks meanwhile: limits are in minutes.
"""

import re
from collections.abc import Iterator

import pytest

from components.inventory import Node
from tests.apt_repository import Repository, served
from tests.stack.project import Project
from tests.vm.conftest import configuration
from tests.vm.inside import as_root, inside

pytestmark = [pytest.mark.vm, pytest.mark.timeout(5400)]

HOST = "192.0.2.2"
"""This computer's loopback, as QEMU's guests see it."""
UP_LIMIT_S = 2400.0


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    with served(tmp_path_factory.mktemp("repository")) as made:
        made.add("gaxx-probe")
        yield made


@pytest.fixture(scope="module", autouse=True)
def undeclared(vm: Project) -> Iterator[None]:
    """Afterwards nothing is declared any more, and the machines are the same ones."""
    before = [node.machine_id for node in vm.inventory().nodes]
    yield
    vm.configure("demo", configuration())
    vm.up(limit_s=UP_LIMIT_S)
    assert [node.machine_id for node in vm.inventory().nodes] == before


def declare(vm: Project, repository: Repository, *packages: str, **more: object) -> None:
    source = {"/etc/apt/sources.list.d/test.list": repository.line(HOST)}
    vm.configure("demo", configuration(files=source, packages=list(packages), **more))


def test_a_declared_package_comes_and_goes_in_place(vm: Project, node: Node, repository: Repository) -> None:
    installed = "dpkg-query --show --showformat '${db:Status-Status}' gaxx-probe"
    declare(vm, repository, "gaxx-probe")
    vm.up(limit_s=UP_LIMIT_S)

    assert inside(vm, "cat /usr/share/gaxx-probe/version").strip() == "1.0"
    assert inside(vm, installed) == "installed"
    assert vm.inventory().nodes[0].machine_id == node.machine_id
    vm.pulumi("preview", "--expect-no-changes")

    declare(vm, repository)
    vm.up(limit_s=UP_LIMIT_S)

    assert inside(vm, installed) != "installed"
    assert "No such file" in inside(vm, "cat /usr/share/gaxx-probe/version")


def test_an_unknown_package_is_one_clear_error_and_the_next_update_converges(
    vm: Project, node: Node, repository: Repository
) -> None:
    declare(vm, repository, "gaxx-probe", "gaxx-nosuch", env={"COLOUR": "teal"})
    refused = vm.up(check=None, limit_s=UP_LIMIT_S)

    assert refused.code != 0
    assert "packages[1] of fleet demo (gaxx-nosuch): no such package in the machine's repositories" in refused.text
    assert "Traceback" not in refused.text
    assert inside(vm, "echo $COLOUR") == "teal\n", "what does not need the package is in force"

    declare(vm, repository, "gaxx-probe")
    vm.up(limit_s=UP_LIMIT_S)

    assert inside(vm, "cat /usr/share/gaxx-probe/version").strip() == "1.0"
    assert vm.inventory().nodes[0].machine_id == node.machine_id


def test_one_service_keeps_the_time_also_after_somebody_has_switched_it_off(vm: Project) -> None:
    as_root(vm, "timedatectl set-ntp false")
    vm.configure("demo", configuration(env={"COLOUR": "teal"}))
    vm.up(limit_s=UP_LIMIT_S)

    services = "systemd-timesyncd chrony ntpsec ntp openntpd"
    states = inside(vm, f"for one in {services}; do systemctl is-enabled $one 2>&1; done").split()

    assert states.count("enabled") == 1
    assert inside(vm, "systemctl is-active systemd-timesyncd").strip() == "active"


def test_security_updates_come_in_the_background_and_fail_nothing(vm: Project) -> None:
    show = "systemctl show gaxx-upkeep.service --property"
    assert inside(vm, "systemctl is-active gaxx-upkeep.timer").strip() == "active"
    # In the guest, where asking costs least.
    ended = f'until [ "$({show} ExecMainExitTimestampMonotonic --value)" -gt 0 ]; do sleep 5; done'
    vm.gaxx("run", "--", "sh", "-c", ended, limit_s=UP_LIMIT_S)

    said = inside(vm, f"{show} ExecMainStatus,Result,Nice")
    properties = dict(re.findall(r"^(\w+)=(.*)$", said, re.MULTILINE))
    assert properties["Result"] == "success"
    # 75: no repository answers, where this computer is without internet.
    assert properties["ExecMainStatus"] in {"0", "75"}
    assert properties["Nice"] == "19"
    assert inside(vm, "systemctl is-enabled unattended-upgrades").strip() != "enabled", "it delays the power-off"
