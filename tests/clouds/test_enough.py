"""`enough: k`: an update goes on with k enrolled nodes, and what is of no use is not paid for."""

import contextlib
import pathlib
import socket
from collections.abc import Callable, Iterator

import pytest

from components.ports import Port
from tests.clouds.rehearsed import STACK, linode, new_rehearsed, vultr
from tests.clouds.test_interrupted import in_state
from tests.stack.project import Project, fleet

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(300)]


@contextlib.contextmanager
def occupied(address: str) -> Iterator[None]:
    """Somebody else listens where an agent is to listen."""
    with socket.create_server((address, int(Port.AGENT))):
        yield


def address(project: Project, index: int) -> str:
    """The address that the fleet's node has, or will have: they are stable."""
    first = project.inventory().nodes[0].address
    return f"{first.rpartition('.')[0]}.{index}"


def test_a_local_fleet_goes_on_with_enough_and_the_next_update_makes_the_others(project: Project) -> None:
    project.create("demo", fleet(2))
    project.up()
    with occupied(address(project, 3)):
        project.configure("demo", fleet(3, enough=2))
        said = project.up().text

        assert "2 of 3 nodes are enrolled, and 2 are enough, so it goes on without demo-3" in said
        assert project.inventory().missing == ("demo-3",)
        assert [node.name for node in project.inventory().nodes] == ["demo-1", "demo-2"]
        assert project.machines() == ["demo-1", "demo-2"], "what is of no use is gone"
        answers = project.gaxx("run", "--", "true", check=None)
        assert "demo-3" in answers.stderr
        assert "Traceback" not in said

        project.configure("demo", fleet(3))
        assert "error:" in project.up(check=None).text, "where all are needed it does not go on"
        project.configure("demo", fleet(3, enough=2))

    project.up()
    assert project.inventory().missing == ()
    assert project.machines() == ["demo-1", "demo-2", "demo-3"]
    project.pulumi("preview", "--expect-no-changes")
    project.gaxx("run", "--", "true")


def test_fewer_than_enough_is_an_error_that_says_why(project: Project) -> None:
    project.create("demo", fleet(2))
    project.up()
    with occupied(address(project, 3)):
        with occupied(address(project, 4)):
            project.configure("demo", fleet(4, enough=3))
            said = project.up(check=None)

            assert said.code != 0
            assert "2 of 4 nodes are enrolled, and 3 are enough: demo-3:" in said.text
            assert "; demo-4:" in said.text
            assert len(project.machines()) == 4, "nobody has decided to go on without them"
        project.up()
        assert project.inventory().missing == ("demo-3",)


@pytest.mark.parametrize("declared", [linode, vultr])
def test_a_machine_that_answers_nobody_is_deleted_at_the_vendor_and_made_anew(
    bundles: pathlib.Path, declared: Callable[..., dict[str, object]]
) -> None:
    with new_rehearsed(bundles, "--faults", "mute=1/1") as rehearsed:
        rehearsed.create(declared(2, enough=1))
        said = rehearsed.project.up().text
        (name,) = rehearsed.project.inventory(STACK).missing
        assert f"1 of 2 nodes are enrolled, and 1 are enough, so it goes on without {name}. Its machine" in said
        assert len(rehearsed.accounts.ids()) == 1, "nothing is paid for that is of no use"

        if declared is vultr:
            rehearsed.project.up()
            assert rehearsed.project.inventory(STACK).missing == ()
            assert rehearsed.accounts.ids() == in_state(rehearsed)
            assert len(in_state(rehearsed)) == 2
            rehearsed.project.pulumi("preview", "--expect-no-changes")
        # Else destroyed as it is: the state still names a machine that is not there.
        rehearsed.project.destroy()
        assert rehearsed.project.resources(STACK) == []
