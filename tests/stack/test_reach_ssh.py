"""Nodes that only SSH leads to: the same life, and not one packet from the controller to their agents' ports."""

import pytest

from tests.stack import remains
from tests.stack.project import Project, fleet

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


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
