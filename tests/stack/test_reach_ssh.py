"""Nodes that only SSH leads to: the same life, and not one packet from the controller to their agents' ports."""

import contextlib
import json
import os
import signal

import pytest

from tests.stack import remains
from tests.stack.project import Project, fleet
from tests.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


def test_an_engine_killed_when_the_node_has_just_spent_its_key_leaves_nothing_that_up_does_not_mend(
    project: Project,
) -> None:
    project.create("demo", fleet(1, reach="ssh", trustedCidrs=[]))
    with project.started("pulumi", "up", "--yes", "--skip-preview", "--non-interactive") as update:
        until(lambda: project.machines() == ["demo-1"], deadline_s=60)
        enrolled = project.machine("demo-1") / "etc/gaxx/enrolled"
        until(enrolled.exists, deadline_s=60)
        below = remains.descendants(update.pid)
        os.killpg(update.pid, signal.SIGKILL)
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    machine = json.loads((project.machine("demo-1") / "machine.json").read_text())["id"]

    project.pulumi("cancel", "--yes", check=None)
    project.up()

    assert project.inventory().nodes[0].machine_id == machine
    assert "1 ok" in project.gaxx("run", "--", "true").stderr


def test_a_fleet_behind_ssh_is_made_used_repaired_and_changed(project: Project) -> None:
    project.create("demo", fleet(2, reach="ssh", trustedCidrs=[]))
    project.up()
    assert {node.reach for node in project.inventory().nodes} == {"ssh"}
    assert "2 ok" in project.gaxx("run", "--", "true").stderr
    project.pulumi("preview", "--expect-no-changes")

    machine = project.inventory().nodes[0].machine_id
    remains.kill(f"{project.machine('demo-1')}/ -m agent")
    project.up()
    assert project.inventory().nodes[0].machine_id == machine
    assert "2 ok" in project.gaxx("run", "--", "true").stderr

    project.configure("demo", fleet(2, reach="ssh", trustedCidrs=[], env={"COLOUR": "teal"}))
    project.up()
    assert project.gaxx("run", "--stream", "--", "sh", "-c", "echo $COLOUR").stdout.count("teal") == 2
