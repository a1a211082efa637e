"""When the vendors fail: `up` says so or succeeds, another `up` converges, and destroy leaves nothing."""

import pathlib

import pytest

from tests.clouds.rehearsed import Rehearsed, linode, new_rehearsed, vultr
from tests.clouds.test_interrupted import in_state

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(400)]

UPS = 5


def converge(rehearsed: Rehearsed) -> list[str]:
    """Run `up` until it succeeds; return what the others said."""
    said: list[str] = []
    for _ in range(UPS):
        done = rehearsed.project.up(check=None)
        if done.code == 0:
            return said
        assert "Traceback" not in done.text
        assert "error:" in done.text
        said.append(done.text)
    message = f"{UPS} times up did not converge; the last said:\n{said[-1]}"
    raise AssertionError(message)


def test_creates_that_fail_and_yet_create_leave_no_machine_beside_the_states(bundles: pathlib.Path) -> None:
    # More than the plugins try again by themselves, whichever of them comes first.
    with new_rehearsed(bundles, "--faults", "create-500=1/6") as rehearsed:
        rehearsed.create(linode(1), vultr(1))

        said = converge(rehearsed)

        assert said, "at least one up met the fault"
        assert rehearsed.accounts.ids() == in_state(rehearsed)
        rehearsed.project.gaxx("run", "--", "true")


def test_refused_and_failed_calls_late_deletions_and_disorder_are_lived_with(bundles: pathlib.Path) -> None:
    faults = "429=0.15,500=0.1/6,late-delete=0.5,disorder=1,slow-boot=0.3/1"
    with new_rehearsed(bundles, "--faults", faults, "--seed", "2") as rehearsed:
        rehearsed.create(linode(1), vultr(1))
        converge(rehearsed)
        assert len(in_state(rehearsed)) == 2


def test_a_machine_that_never_boots_is_deleted_and_made_anew(bundles: pathlib.Path) -> None:
    with new_rehearsed(bundles, "--faults", "never-boot=1/2") as rehearsed:
        rehearsed.project.environment["STANDIN_CREATE_LIMIT_S"] = "3"
        rehearsed.create(linode(1), vultr(1))

        said = converge(rehearsed)

        assert any("never booted; it was deleted" in text for text in said)
        assert rehearsed.accounts.ids() == in_state(rehearsed)
        assert len(in_state(rehearsed)) == 2
