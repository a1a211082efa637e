"""`enough: k`: an update goes on with k enrolled nodes, and what is of no use is not paid for."""

import contextlib
import os
import pathlib
import signal
import socket
from collections.abc import Callable, Iterator
from secrets import token_urlsafe

import pytest

from components.ports import Port
from tests.clouds.rehearsed import STACK, Rehearsed, linode, new_rehearsed, vultr
from tests.clouds.test_interrupted import in_state
from tests.stack.project import Project, fleet

SEED = "3"

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(300)]


@contextlib.contextmanager
def occupied(address: str) -> Iterator[None]:
    """Somebody else listens where an agent is to listen."""
    with socket.create_server((address, int(Port.AGENT))):
        yield


def gaxx_up(rehearsed: Rehearsed) -> str:
    """Bring the stack up; return all that was said."""
    done = rehearsed.project.gaxx("up", "--stack", STACK, "--yes", "--skip-preview")
    return done.text


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


@pytest.mark.parametrize("declared", [linode, vultr])
def test_gaxx_up_goes_on_without_a_machine_that_its_vendor_refuses(
    bundles: pathlib.Path, declared: Callable[..., dict[str, object]]
) -> None:
    with new_rehearsed(bundles, "--faults", "no-capacity=1/1") as rehearsed:
        rehearsed.create(declared(3, enough=2))

        said = gaxx_up(rehearsed)

        (name,) = rehearsed.project.inventory(STACK).missing
        assert f"gaxx: no machine was made for {name}, and enough are left" in said
        assert f"2 of 3 nodes are enrolled, and 2 are enough, so it goes on without {name}" in said
        assert "Traceback" not in said
        assert len(rehearsed.accounts.ids()) == 2
        rehearsed.project.gaxx("run", "--stack", STACK, "--", "true")

        rehearsed.project.up()
        assert rehearsed.project.inventory(STACK).missing == ()
        assert len(in_state(rehearsed)) == 3
        rehearsed.project.pulumi("preview", "--expect-no-changes")


def test_an_interrupted_update_is_not_tried_again_without_what_it_was_making(bundles: pathlib.Path) -> None:
    with new_rehearsed(bundles, "--faults", "never-boot=1/1") as rehearsed:
        rehearsed.project.environment["STANDIN_CREATE_LIMIT_S"] = "15"
        rehearsed.create(linode(2, enough=1))
        line = ("gaxx", "up", "--stack", STACK, "--yes", "--skip-preview", "--non-interactive")
        with rehearsed.project.started(*line) as process:
            assert process.stdout is not None
            said = ""
            while "linode:index:Instance west-" not in said:
                said += process.stdout.readline().decode()
            # Gently: the engine waits for the plugin, which waits for the boot until it has waited long enough.
            os.killpg(process.pid, signal.SIGINT)
            said += process.stdout.read().decode()
            assert process.wait() == 130
        assert "the update is tried without" not in said
        assert "Traceback" not in said


def test_a_vendor_that_refuses_more_machines_than_can_be_missed_fails_the_update(bundles: pathlib.Path) -> None:
    with new_rehearsed(bundles, "--faults", "no-capacity=1") as rehearsed:
        rehearsed.create(vultr(2, enough=1))
        done = rehearsed.project.gaxx("up", "--stack", STACK, "--yes", "--skip-preview", check=None)
        assert done.code == 1
        assert "pulumi up failed" in done.stderr


def test_a_machine_that_never_boots_is_not_paid_for_while_the_others_work(bundles: pathlib.Path) -> None:
    with new_rehearsed(bundles, "--faults", "never-boot=1/1") as rehearsed:
        rehearsed.project.environment["STANDIN_CREATE_LIMIT_S"] = "20"
        rehearsed.create(linode(2, enough=1))
        gaxx_up(rehearsed)
        assert len(rehearsed.project.inventory(STACK).missing) == 1
        assert rehearsed.accounts.ids() == in_state(rehearsed)
        assert len(in_state(rehearsed)) == 1


def test_what_a_refused_create_made_all_the_same_is_deleted_once_the_others_work(bundles: pathlib.Path) -> None:
    # By this seed the first two creates are well, and the third is refused.
    with new_rehearsed(bundles, "--faults", "no-capacity=0.5/1", "--seed", SEED) as rehearsed:
        rehearsed.create(linode(1))
        rehearsed.project.up()
        (mine,) = rehearsed.accounts.linodes()
        tags = [tag.replace("gaxx:index=1", "gaxx:index=2") for tag in mine["tags"]]
        body = {"region": mine["region"], "type": mine["type"], "image": mine["image"], "label": "left-over"}
        rehearsed.accounts.linode("POST", "linode/instances", {**body, "tags": tags, "root_pass": token_urlsafe()})
        rehearsed.change(linode(2, enough=1))

        said = gaxx_up(rehearsed)

        assert "gaxx: deleting linode machine left-over" in said
        assert [one["id"] for one in rehearsed.accounts.linodes()] == [mine["id"]]


def test_an_update_is_told_by_name_what_to_do_without(project: Project) -> None:
    project.create("demo", fleet(3, enough=2))
    project.environment["GAXX_WITHOUT"] = "demo-2"
    project.up()
    assert project.inventory().missing == ("demo-2",)
    assert project.machines() == ["demo-1", "demo-3"]

    project.environment["GAXX_WITHOUT"] = "demo-2,demo-3"
    assert "without demo-2, demo-3 demo has 1 of 3 nodes, and 2 are enough" in project.up(check=None).text
    project.environment["GAXX_WITHOUT"] = "demo-9"
    assert "GAXX_WITHOUT: no fleet has the node demo-9" in project.up(check=None).text
    assert project.machines() == ["demo-1", "demo-3"]

    del project.environment["GAXX_WITHOUT"]
    project.up()
    assert project.machines() == ["demo-1", "demo-2", "demo-3"]
    project.pulumi("preview", "--expect-no-changes")
