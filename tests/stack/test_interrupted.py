"""The engine is killed in the middle of an update: `pulumi cancel` and `pulumi up` make it whole again.

Each life of a stack has four killed updates, at moments that its seed chooses by the engine's own events: one that
makes nodes, one that adds some, one that changes them in place, one that takes some away. After each of them the
ledger is drawn: what the state knows, what lies on the disk and what listens must be the same machines.
"""

import json
import os
import pathlib
import random
import signal
import subprocess

import pytest

from tests.stack import remains
from tests.stack.project import Project, fleet
from tests.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

CHANGES: tuple[dict[str, object], ...] = (
    fleet(1),
    fleet(3),
    fleet(3, env={"COLOUR": "teal"}, slots=3),
    fleet(2, env={"COLOUR": "red"}),
)
LINES = (30, 40, 30, 30)
"""How many lines of events such an update has, at least."""


@pytest.mark.parametrize("seed", [*range(5), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(5, 25))])
def test_after_a_killed_update_nothing_is_lost_or_doubled(project: Project, seed: int) -> None:
    # Not for secrets: the same seed must choose the same moments.
    chosen = random.Random(seed)  # noqa: S311
    project.create("demo", CHANGES[0])
    for change, lines in zip(CHANGES, LINES, strict=True):
        project.configure("demo", change)
        kill_update(project, after_lines=chosen.randrange(1, lines), with_children=chosen.random() < 0.5)
        project.pulumi("cancel", "--yes", check=None)
        project.up()
        assert_ledger(project)
        project.gaxx("run", "--", "true")
    project.pulumi("preview", "--expect-no-changes")


def kill_update(project: Project, *, after_lines: int, with_children: bool) -> None:
    """Start an update and kill the engine, or all of its processes, once it has said so much."""
    with project.started("pulumi", "up", "--yes", "--skip-preview", "--non-interactive") as update:
        assert update.stdout is not None
        for number, _ in enumerate(update.stdout, 1):
            if number == after_lines:
                break
        below = remains.descendants(update.pid)
        os.killpg(update.pid, signal.SIGKILL)
        for pid in below if with_children else ():
            kill(pid)
    # What the engine leaves goes by itself: the user's next command must not meet it for long.
    until(lambda: engine_side(project) == [], deadline_s=30)


def kill(pid: int) -> None:
    subprocess.run(["kill", "-KILL", str(pid)], check=False, capture_output=True)


def engine_side(project: Project) -> list[str]:
    """Programs, hosts and plugins of an update, which are no node's."""
    mark = f"PULUMI_HOME={project.environment['PULUMI_HOME']}"
    return [line for line in remains.processes(mark) if "gaxx_root=" not in line and "sshd" not in line]


def assert_ledger(project: Project) -> None:
    """The machines in the state, on the disk and on the network are the same, once each."""
    checkpoint = json.loads(project.state_file().read_text())["checkpoint"]["latest"]
    # Pulumi remembers a create that was interrupted until somebody clears it; what it was to make has been made.
    made = {resource["urn"] for resource in checkpoint["resources"]}
    assert {operation["resource"]["urn"] for operation in checkpoint.get("pending_operations") or []} <= made
    assert not [resource["urn"] for resource in checkpoint["resources"] if resource.get("delete")]
    known = [
        (resource["inputs"]["node"], resource["id"], resource["outputs"]["address"])
        for resource in checkpoint["resources"]
        if resource["type"] == "gaxx:index:LocalNode"
    ]
    on_disk = [
        (path.name, marker["id"], marker["address"])
        for path in project.nodes_folder.glob("*/demo-*")
        for marker in [json.loads((path / "machine.json").read_text())]
    ]
    assert sorted(known) == sorted(on_disk)
    assert len({name for name, _, _ in known}) == len(known)
    assert sorted(node.name for node in project.inventory().nodes) == sorted(name for name, _, _ in known)
    addresses = {address for _, _, address in known}
    blocks = {address.rpartition(".")[0] for address in addresses}
    assert len(blocks) == 1
    expected = {f"{address}:{port}" for address in addresses for port in (2222, 8088, 9091)}
    neighbours = (f"{block}.{host}" for block in blocks for host in range(1, 255))
    assert remains.listening(neighbours) == expected
    for name, _, _ in known:
        assert count(project.machine(name)) == {"agent": 1, "agent.runner": 1, "sshd": 1}


def count(root: pathlib.Path) -> dict[str, int]:
    """How many processes of each kind the machine has."""
    lines = remains.processes(f"{root}/")
    kinds = {"agent": "-m agent ", "agent.runner": "-m agent.runner ", "sshd": "[listener]"}
    return {kind: sum(mark in line for line in lines) for kind, mark in kinds.items()}
