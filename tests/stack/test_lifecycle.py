"""A fleet of local nodes through the real engine: up, changes in place, repair, destroy."""

import pytest

from tests.stack.conftest import Project

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def fleet(nodes: int, **more: object) -> dict[str, object]:
    """One local fleet called demo."""
    return {"fleets": [{"name": "demo", "cloud": "local", "nodes": nodes, **more}]}


def test_a_fleet_comes_up_runs_a_command_and_leaves_nothing(project: Project) -> None:
    project.create("demo", fleet(2))
    project.up()

    done = project.gaxx("run", "--", "sh", "-c", "echo $GAXX_NODE; exit 7", check=3)

    assert "demo-1" in done.stdout
    assert "demo-2" in done.stdout
    assert "7" in done.text
    project.pulumi("preview", "--expect-no-changes")
