"""Nodes that die, wholly or in part: told apart by `gaxx status`, mended in place by plain `pulumi up`."""

import json
import os
import shutil
import signal

import pytest

from components.inventory import Node
from tests.stack import remains
from tests.stack.project import Project, fleet
from tests.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


def kill(node: Node, port: int) -> None:
    os.kill(remains.listener(node.address, port), signal.SIGKILL)
    until(lambda: f"{node.address}:{port}" not in remains.listening([node.address]))


def states(project: Project, check: int) -> dict[str, str]:
    lines = project.gaxx("status", "--json", check=check).stdout.splitlines()
    return {answer["node"]: answer["state"] for answer in map(json.loads, lines)}


def test_what_was_killed_is_named_and_repaired_in_place(project: Project) -> None:
    project.create("demo", fleet(3))
    project.up()
    before = {node.name: node for node in project.inventory().nodes}

    kill(before["demo-1"], 8088)
    kill(before["demo-2"], 2222)
    remains.kill(f"{project.machine('demo-3')}/")
    until(lambda: not remains.listening([before["demo-3"].address]))
    assert states(project, 5) == {"demo-1": "agent-dead", "demo-2": "sshd-dead", "demo-3": "dead"}
    said = project.gaxx("status", check=5).stderr
    for node in before:
        assert f"gaxx: {node}: " in said, "each fault is a line of its own"
    done = project.up()

    assert "replac" not in done.text
    assert {node.name: node for node in project.inventory().nodes} == before
    assert set(states(project, 0).values()) == {"ok"}
    project.gaxx("run", "--", "true")
    project.gaxx("run", "--via", "ssh", "--", "true")
    project.pulumi("preview", "--expect-no-changes")


def test_a_killed_runner_is_named_and_repaired(project: Project) -> None:
    project.create("demo", fleet(1))
    project.up()
    os.kill(int((project.machine("demo-1") / "run/gaxx/runner.pid").read_text()), signal.SIGKILL)
    until(lambda: project.gaxx("status", check=None).code == 5)
    assert states(project, 5) == {"demo-1": "runner-dead"}

    project.up()

    assert states(project, 0) == {"demo-1": "ok"}
    project.gaxx("run", "--", "true")


def test_a_node_whose_folder_was_deleted_is_made_anew_with_fresh_keys(project: Project) -> None:
    project.create("demo", fleet(2))
    project.up()
    before = {node.name: node for node in project.inventory().nodes}
    first_keys = bootstrap_keys(project, "demo-2")

    # Its processes run on: they must not keep the ports from the new one.
    shutil.rmtree(project.machine("demo-2"))
    project.up()

    after = {node.name: node for node in project.inventory().nodes}
    assert after["demo-1"] == before["demo-1"]
    assert after["demo-2"].machine_id != before["demo-2"].machine_id
    assert after["demo-2"].address == before["demo-2"].address
    assert after["demo-2"].ssh_host_keys != before["demo-2"].ssh_host_keys
    assert bootstrap_keys(project, "demo-2").isdisjoint(first_keys)
    assert states(project, 0) == {"demo-1": "ok", "demo-2": "ok"}
    project.gaxx("run", "--", "true")
    project.pulumi("preview", "--expect-no-changes")


def bootstrap_keys(project: Project, node: str) -> set[str]:
    outputs = project.resource("BootstrapIdentity", node)["outputs"]
    return {outputs["hostPublicKey"], outputs["userPublicKey"]}
