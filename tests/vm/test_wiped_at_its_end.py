"""The dead-man switch. Last of its tier: it ends the machines."""

import datetime as dt
import pathlib

import pytest

from tests.stack.project import Project
from tests.vm import disk, hypervisor
from tests.vm.conftest import configuration
from tests.vm.inside import as_root
from tests.waiting import alive, until

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]


def test_idle_it_ends_early_and_busy_at_its_ttl_and_both_wipe_their_secrets_first(
    vm: Project, tmp_path: pathlib.Path
) -> None:
    busy, idle = vm.inventory().nodes
    age_s = max(
        (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(node.created)).total_seconds() for node in (busy, idle)
    )
    own = {node.name: as_root(vm, "cat /etc/gaxx/tls/node.key; sync", node.name) for node in (busy, idle)}
    assert disk.holds(vm, idle, {"key": own[idle.name]}, tmp_path) == {"key"}
    before = {node.name: hypervisor.pid(vm, node) for node in (busy, idle)}
    vm.configure("demo", {**configuration(idle="60s"), "ttl": f"{int(age_s) + 280}s"})
    vm.up(limit_s=600)

    with vm.started("gaxx", "run", "-n", busy.name, "--", "sleep", "1000") as running:
        until(lambda: not alive(before[idle.name]), deadline_s=300)
        assert alive(before[busy.name]), "who works is not idle"
        until(lambda: not alive(before[busy.name]), deadline_s=400)
        running.wait(timeout=60)

    for node in (busy, idle):
        console = (vm.machine(node.name) / "serial.log").read_text(errors="replace")
        assert "power" in console.lower().rsplit("login:", 1)[-1]
        assert disk.holds(vm, node, {"key": own[node.name]}, tmp_path) == set()
