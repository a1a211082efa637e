"""A fleet of local nodes through the real engine: up, run, scale, destroy."""

import json

import pytest

from tests.stack import remains
from tests.stack.project import Project, assert_nothing_left, fleet

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


def test_a_fleet_comes_up_serves_and_leaves_nothing_behind(project: Project) -> None:
    project.create("demo", fleet(2))
    project.up()
    addresses = [node.address for node in project.inventory().nodes]
    expected = {f"{address}:{port}" for address in addresses for port in (2222, 8088, 9091)}
    assert remains.listening(addresses) == expected, "sshd, agent and metrics of each node, and nothing else"
    answers = project.gaxx("run", "--json", "--", "sh", "-c", "echo $GAXX_NODE").stdout.splitlines()
    assert {"demo-1", "demo-2"} <= {json.loads(line).get("node") for line in answers}
    project.pulumi("preview", "--expect-no-changes")

    project.destroy()

    assert_nothing_left(project)
    assert remains.listening(addresses) == set()
    refused = project.gaxx("run", "--", "true", check=1)
    assert "not up" in refused.stderr, "what is gone is said to be gone"


def test_a_stack_that_is_destroyed_comes_up_again_on_the_same_addresses(project: Project) -> None:
    project.create("demo", fleet(1))
    project.up()
    (before,) = project.inventory().nodes
    project.destroy()

    project.up()

    (after,) = project.inventory().nodes
    assert after.address == before.address
    assert after.machine_id != before.machine_id
    assert after.ssh_host_keys != before.ssh_host_keys
    project.gaxx("run", "--", "true")


def test_a_fleet_grows_and_shrinks_and_the_nodes_that_stay_are_the_same(project: Project) -> None:
    project.create("demo", fleet(3))
    project.up()
    three = {node.name: node for node in project.inventory().nodes}

    project.configure("demo", fleet(5))
    project.up()
    five = {node.name: node for node in project.inventory().nodes}
    project.gaxx("run", "-n", "demo-[4-5]", "--", "true")
    project.configure("demo", fleet(2))
    project.up()
    two = {node.name: node for node in project.inventory().nodes}

    assert sorted(five) == [f"demo-{index}" for index in range(1, 6)]
    assert {name: five[name] for name in three} == three
    assert two == {name: three[name] for name in ("demo-1", "demo-2")}
    assert project.machines() == ["demo-1", "demo-2"]
    assert remains.listening(five[name].address for name in ("demo-3", "demo-4", "demo-5")) == set()
    assert json.loads(project.gaxx("ls", "--json").stdout.splitlines()[0])
    project.pulumi("preview", "--expect-no-changes")
