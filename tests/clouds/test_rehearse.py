"""`gaxx rehearse` by hand: a whole stack, and what happens at its end."""

import pytest

from tests.clouds.rehearsed import STACK, linode, plugins, vultr
from tests.stack import people
from tests.stack.project import Project

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(300)]


def declare(project: Project, *fleets: dict[str, object]) -> None:
    """A stack file as somebody committed it: of other operators, with secrets that only they can read."""
    project.configure(
        STACK,
        {
            "ttl": "1h",
            "operators": [people.person(project, "bob").entry()],
            "authorityKey": {"secure": "AAAB"},
            "fleets": list(fleets),
        },
    )


def test_a_stack_is_rehearsed_from_its_file_alone(project: Project) -> None:
    plugins(project)
    declare(project, linode(1, reach="ssh", trustedCidrs=["10.0.0.0/8"]), vultr(1))
    before = (project.folder / f"stacks/Pulumi.{STACK}.yaml").read_text()

    done = project.gaxx("rehearse", "--stack", STACK, "--", "sh", "-c", "echo $GAXX_NODE")

    assert done.stdout == "", "all of it is for the eyes"
    assert "up of 2 nodes done" in done.stderr
    assert "west-1" in done.stderr
    assert "rehearsal: destroy done" in done.stderr
    assert (project.folder / f"stacks/Pulumi.{STACK}.yaml").read_text() == before
    assert list((project.home / "backend").rglob("*.json")) == [], "the user's own backend was not used"


def test_a_stack_that_has_enough_without_a_refused_machine_is_rehearsed_to_its_end(project: Project) -> None:
    plugins(project)
    declare(project, linode(2, enough=1))

    done = project.gaxx("rehearse", "--stack", STACK, "--faults", "no-capacity=1/1", "--", "true")

    assert "1 of 2 nodes are enrolled, and 1 are enough" in done.stderr
    assert "rehearsal: up again, for what it went on without done" in done.stderr
    assert "rehearsal: preview, which must be empty done" in done.stderr
    assert "rehearsal: destroy done" in done.stderr


def test_a_stack_that_cannot_be_is_refused_before_it_costs_anything(project: Project) -> None:
    plugins(project)
    declare(project, linode(1, image="linode/debian99"))

    done = project.gaxx("rehearse", "--stack", STACK, check=1)

    assert "image is not valid" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"gaxx: rehearsal of {STACK}: up of 1 nodes failed")
