"""The engine is killed in the middle of an update: after another `up` the vendors have what the state has, no more."""

import random

import pytest

from tests.clouds.rehearsed import STACK, Rehearsed, linode, vultr
from tests.stack import remains
from tests.stack.test_interrupted import kill
from tests.waiting import until

pytestmark = [pytest.mark.clouds, pytest.mark.soak, pytest.mark.timeout(600)]

LINES = 60
"""How many lines such an update says, at least."""


@pytest.mark.parametrize("seed", range(10))
def test_after_a_killed_update_no_machine_is_lost_or_doubled(rehearsed: Rehearsed, seed: int) -> None:
    # Not for secrets: the same seed must choose the same moments.
    chosen = random.Random(seed)  # noqa: S311
    rehearsed.create(linode(1), vultr(1))
    for fleets in ((linode(1), vultr(1)), (linode(2, image="linode/debian13"), vultr(1, image="2625"))):
        rehearsed.change(*fleets)
        kill_update(rehearsed, after_lines=chosen.randrange(10, LINES))
        rehearsed.project.pulumi("cancel", "--yes", "--stack", STACK, check=None)
        rehearsed.project.up()
        assert rehearsed.accounts.ids() == in_state(rehearsed)
        rehearsed.project.gaxx("run", "--", "true")
    rehearsed.project.pulumi("preview", "--expect-no-changes")


def in_state(rehearsed: Rehearsed) -> set[str]:
    """Ids of the machines that the state knows."""
    types = {"linode:index/instance:Instance", "vultr:index/instance:Instance"}
    return {one["id"] for one in rehearsed.project.resources(STACK) if one["type"] in types}


def kill_update(rehearsed: Rehearsed, *, after_lines: int) -> None:
    """Start an update and kill all of its processes once it has said so much."""
    with rehearsed.project.started("pulumi", "up", "--yes", "--skip-preview", "--non-interactive") as update:
        assert update.stdout is not None
        for number, _ in enumerate(update.stdout, 1):
            if number == after_lines:
                break
        for pid in (*remains.descendants(update.pid), update.pid):
            kill(pid)
    mark = f"PULUMI_HOME={rehearsed.project.environment['PULUMI_HOME']}"
    until(lambda: not [line for line in remains.processes(mark) if "rehearse" not in line], deadline_s=30)
