"""What goes wrong with a machine while it works: it comes back by itself or by `pulumi up`, and nothing is lost."""

import json
import os
import pathlib
import shlex
import time
import typing
from collections.abc import Iterator

import pytest

from components.inventory import Node
from tests.stack.project import Project
from tests.vm import hypervisor
from tests.vm.conftest import configuration
from tests.vm.inside import as_root, inside
from tests.waiting import alive, until

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

ITEMS = 60
HOUR_S = 3600


class Map:
    """A map that has begun: items of a second each, over both machines."""

    def __init__(self, vm: Project, answers: pathlib.Path, process: typing.Any) -> None:
        self._vm, self._answers, self._process = vm, answers, process

    def events(self) -> list[dict[str, typing.Any]]:
        """What it has said so far."""
        return [json.loads(line) for line in self._answers.read_text().splitlines() if line.endswith("}")]

    def wait_for(self, node: str) -> None:
        """Until this node has done something."""
        until(lambda: any(event.get("node") == node for event in self.events()), deadline_s=120)

    def ends_whole(self) -> None:
        """Wait for its end: every item once, none failed."""
        self._process.wait(timeout=900)
        ledger = self.events()[-1]
        assert (self._process.returncode, ledger["ok"], ledger["total"]) == (0, ITEMS, ITEMS), self._answers.read_text()


@pytest.fixture
def mapping(vm: Project) -> Iterator[Map]:
    """A map that works on both machines."""
    answers = vm.base / "answers"
    answers.write_text("")
    (vm.base / "items").write_text("".join(f"{index}\n" for index in range(ITEMS)))
    item = shlex.quote('sleep 1; echo "$GAXX_ITEM"')
    work = f"exec gaxx map --json -a {vm.base}/items -- sh -c {item} >{answers} 2>{vm.base}/said"
    with vm.started("sh", "-c", work) as process:
        begun = Map(vm, answers, process)
        for node in vm.inventory().nodes:
            begun.wait_for(node.name)
        yield begun


def is_well(vm: Project) -> None:
    """Both machines serve, within the time that a service needs to start anew."""
    until(lambda: vm.gaxx("run", "--", "true", check=None).code == 0, deadline_s=180)


@pytest.mark.parametrize("service", ["agent", "runner"])
def test_a_killed_service_is_started_anew_and_its_items_are_done(vm: Project, mapping: Map, service: str) -> None:
    before = as_root(vm, f"systemctl show --property MainPID gaxx-{service}")
    # Who kills the agent hears nothing more of it.
    vm.gaxx("run", "-n", "demo-1", "--via", "ssh", "--", "true")
    as_root(vm, f"systemd-run --quiet --on-active=1 systemctl kill --signal KILL gaxx-{service}")

    mapping.ends_whole()

    is_well(vm)
    after = as_root(vm, f"systemctl show --property MainPID gaxx-{service}")
    assert after != before
    assert "MainPID=0" not in after


def test_a_full_disk_fails_what_needs_room_says_so_and_is_over_with_it(
    vm: Project, node: Node, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "sent.bin").write_bytes(os.urandom(4096))
    most = "$(($(df --output=avail -B 1M . | tail -n 1) - 64))M"
    filled = inside(vm, f"fallocate -l {most} most; {{ cat /dev/zero > rest; }} 2>&1; df --output=avail . | tail -n 1")
    assert "No space left" in filled

    refused = vm.gaxx("put", "-n", node.name, str(tmp_path / "sent.bin"), check=None)
    status = vm.gaxx("status", "-n", node.name, check=5)

    assert refused.code == 3
    assert "no space left on the node" in refused.stderr
    assert "disk-full" in status.stdout
    assert "the disk is full" in status.stderr
    # What cannot be kept there is done by the other one.
    mapped = vm.gaxx("map", "--json", "--", "echo", "{}", stdin="".join(f"{index}\n" for index in range(20)))
    assert json.loads(mapped.stdout.splitlines()[-1])["ok"] == 20
    inside(vm, "rm most rest")
    vm.gaxx("put", str(tmp_path / "sent.bin"))
    vm.up(limit_s=900)
    is_well(vm)


def test_a_clock_that_jumps_an_hour_and_back_locks_nobody_out(vm: Project, node: Node, mapping: Map) -> None:
    def jump(seconds: int) -> None:
        as_root(vm, f"timedatectl set-ntp false; date --set=@$(($(date +%s) + {seconds}))")

    jump(HOUR_S)
    is_well(vm)
    # Enrolment comes by a certificate that is made for the occasion.
    vm.configure("demo", configuration(env={"COLOUR": "teal"}))
    vm.up(limit_s=900)
    assert inside(vm, "echo $COLOUR") == "teal\n"
    jump(-2 * HOUR_S)
    is_well(vm)
    vm.configure("demo", configuration())
    vm.up(limit_s=900)
    as_root(vm, f"timedatectl set-ntp true; date --set=@{int(time.time())}")

    mapping.ends_whole()
    vm.gaxx("audit", "verify")
    assert vm.inventory().nodes[0].machine_id == node.machine_id


def test_a_machine_that_stands_still_for_a_minute_costs_no_item(vm: Project, node: Node, mapping: Map) -> None:
    done = "sh", "-c", "for i in $(seq 60); do sleep 1; done"
    with hypervisor.monitor(vm, node) as execute:
        execute("stop")
        # A minute as the other machine counts it.
        vm.gaxx("run", "-n", "demo-2", "--", *done)
        execute("cont")

    mapping.ends_whole()

    is_well(vm)
    vm.gaxx("audit", "verify")


def test_a_power_cut_during_an_item_costs_no_item_and_up_brings_the_machine_back(
    vm: Project, node: Node, mapping: Map
) -> None:
    hypervisor.cut_power(vm, node)

    mapping.ends_whole()

    assert vm.gaxx("status", check=5).code == 5
    vm.up(limit_s=1200)
    is_well(vm)
    assert vm.inventory().nodes[0].machine_id == node.machine_id


@pytest.mark.soak
def test_a_power_cut_during_enrolment_fails_the_update_and_the_next_one_goes_on(vm: Project) -> None:
    vm.configure("demo", {"fleets": [{"name": "demo", "cloud": "qemu", "nodes": 3}]})
    output = vm.base / "up"
    with vm.started("sh", "-c", f"exec pulumi up --yes --skip-preview --non-interactive >{output} 2>&1") as updating:
        until(lambda: output.exists() and "pushing the agent" in output.read_text(), deadline_s=900)
        qemu = int((vm.machine("demo-3") / "qemu.pid").read_text())
        vm.run("kill", "-KILL", str(qemu))
        until(lambda: not alive(qemu))
        updating.wait(timeout=900)
    said = output.read_text()
    assert updating.returncode != 0
    assert "demo-3" in said
    assert "Traceback" not in said

    vm.up(limit_s=1800)

    assert len(vm.inventory().nodes) == 3
    is_well(vm)
    vm.configure("demo", configuration())
    vm.up(limit_s=900)
    assert vm.machines() == ["demo-1", "demo-2"]
