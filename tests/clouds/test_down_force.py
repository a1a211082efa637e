"""`gaxx down --force`: the machines of a stack go, whatever has become of the engine, its lock and its state."""

import os
import pathlib
import signal

import pytest

from tests.clouds.rehearsed import STACK, Rehearsed, linode, vultr
from tests.clouds.test_interrupted import kill_update, known
from tests.stack.project import Project, assert_nothing_left, fleet
from tests.waiting import until

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(300)]


def lose_passphrase(project: Project) -> str:
    """Have the project's programs read another one; return where the right one is."""
    wrong = project.base / "wrong"
    wrong.write_text("made up\n")
    kept = project.environment["PULUMI_CONFIG_PASSPHRASE_FILE"]
    project.environment["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(wrong)
    return kept


def test_after_a_controller_that_was_killed_half_way_every_machine_is_found_and_nobody_elses(
    rehearsed: Rehearsed,
) -> None:
    project, accounts = rehearsed.project, rehearsed.accounts
    rehearsed.create(linode(2), vultr(1))
    kill_update(rehearsed, after_lines=60)
    ours = accounts.ids()
    assert ours, "it was killed before it had made anything"
    (tags, *_) = [one["tags"] for one in (*accounts.linodes(), *accounts.vultrs())]
    theirs = [tag for tag in tags if not tag.startswith("gaxx:backend=")] + ["gaxx:backend=ffffffffffff"]
    order = {"region": "nl-ams", "type": "g6-nanode-1", "label": "theirs", "tags": theirs}
    stranger = accounts.linode("POST", "linode/instances", order)["id"]

    asked = project.gaxx("down", "--force", check=1)
    assert "gaxx: nothing was changed; --yes does it without asking" in asked.stderr
    assert accounts.ids() == ours | {str(stranger)}
    said = project.gaxx("down", "--force", "--yes").stderr

    until(lambda: accounts.ids() == {str(stranger)}, deadline_s=30)
    assert known(rehearsed) == set()
    assert "gaxx: prod is gone" in said
    accounts.linode("DELETE", f"linode/instances/{stranger}")


def test_neither_passphrase_nor_state_is_needed(rehearsed: Rehearsed) -> None:
    project, accounts = rehearsed.project, rehearsed.accounts
    rehearsed.create(linode(1), vultr(1))
    project.up()
    right = lose_passphrase(project)

    said = project.gaxx("down", "--force", "--yes", check=1).stderr

    until(lambda: not any(accounts.left().values()), deadline_s=30)
    assert "the machines of prod are gone, and its state still has them: pulumi destroy failed" in said
    assert "Traceback" not in said
    project.environment["PULUMI_CONFIG_PASSPHRASE_FILE"] = right
    project.destroy()
    assert known(rehearsed) == set()

    project.up()
    project.state_file(STACK).unlink()
    said = project.gaxx("down", "--force", "--yes", "--stack", STACK).stderr
    until(lambda: not any(accounts.left().values()), deadline_s=30)
    assert "prod: 2 machines (" in said
    # There is no stack any more, and no destroy.
    project.stacks.remove(STACK)
    # Nor is a slip of the pen taken for an end.
    said = project.gaxx("down", "--force", "--yes", "--stack", "produ", check=1).stderr
    assert "this backend has no stack produ, and nothing that was found carries its marks" in said


def test_a_token_that_is_missing_is_told_and_what_it_leads_to_stays_in_the_state(rehearsed: Rehearsed) -> None:
    project, accounts = rehearsed.project, rehearsed.accounts
    rehearsed.create(linode(1), vultr(1))
    project.up()
    token = project.environment.pop("VULTR_API_KEY")

    said = project.gaxx("down", "--force", "--yes", check=5).stderr

    until(lambda: not accounts.linodes(), deadline_s=30)
    assert "something of prod may be left: vultr was not asked: VULTR_API_KEY is not in the environment" in said
    assert len(accounts.vultrs()) == 1
    project.environment["VULTR_API_KEY"] = token
    project.gaxx("down", "--force", "--yes")
    until(lambda: not any(accounts.left().values()), deadline_s=30)


def test_machines_of_this_computer_go_in_the_midst_of_their_work(project: Project, tmp_path: pathlib.Path) -> None:
    project.create("demo", fleet(2))
    project.up()
    begun = tmp_path / "begun"
    with project.started("sh", "-c", f"exec gaxx run --stream -- sh -c 'echo begun; sleep 600' >{begun}") as working:
        until(lambda: begun.exists() and begun.read_text().count("begun") == 2)

        project.gaxx("down", "--force", "--yes")

        assert working.wait(60) == 5
    assert project.machines() == []
    assert_nothing_left(project)


def test_ctrl_c_while_pulumi_destroys_is_an_interruption_and_the_next_one_goes_on(project: Project) -> None:
    project.create("demo", fleet(1))
    project.up()
    said = project.base / "said"
    with project.started("sh", "-c", f"exec gaxx down --force --yes 2>{said}") as ending:
        until(lambda: said.exists() and "destroying stack demo" in said.read_text())
        os.killpg(ending.pid, signal.SIGINT)
        code = ending.wait(60)

    assert code == 130, said.read_text()
    assert project.machines() == [], "they went first"
    project.gaxx("down", "--force", "--yes")
