"""The engine is killed in the middle of an update or a destroy: nothing at the vendors is lost or doubled.

What stands there is in the state, or `gaxx reap` names it; another `up` makes it one again, a destroy leaves nothing.
"""

import json
import random

import pytest

from tests.clouds.rehearsed import STACK, Rehearsed, linode, vultr
from tests.stack import remains
from tests.stack.test_interrupted import kill
from tests.waiting import until

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(600)]

LINES = 60
"""How many lines such an update says, at least."""
DESTROY_LINES = 40

Name = tuple[str, str, str]
"""Vendor, kind and id."""
_TYPES = {
    "linode:index/instance:Instance": ("linode", "machine"),
    "linode:index/firewall:Firewall": ("linode", "firewall"),
    "linode:index/vpc:Vpc": ("linode", "network"),
    "vultr:index/instance:Instance": ("vultr", "machine"),
    "vultr:index/firewallGroup:FirewallGroup": ("vultr", "firewall"),
    "vultr:index/vpc:Vpc": ("vultr", "network"),
    "vultr:index/sSHKey:SSHKey": ("vultr", "key"),
}


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(3, 23))])
def test_what_a_killed_engine_leaves_is_named_by_the_state_or_by_reap(rehearsed: Rehearsed, seed: int) -> None:
    # Not for secrets: the same seed must choose the same moments.
    chosen = random.Random(f"named/{seed}")  # noqa: S311
    project = rehearsed.project
    rehearsed.create(linode(1), vultr(1))
    kill_update(rehearsed, after_lines=chosen.randrange(10, LINES))
    assert_named(rehearsed)
    project.pulumi("cancel", "--yes", "--stack", STACK, check=None)
    assert_named(rehearsed)
    if chosen.random() < 0.3:
        return  # the end of the test destroys the stack, and proves that nothing is left
    if chosen.random() < 0.5:
        project.gaxx("reap", "--yes", "--grace", "0", "--stack", STACK)
        until(lambda: standing(rehearsed) <= known(rehearsed), deadline_s=30)
    project.up()
    assert rehearsed.accounts.ids() == in_state(rehearsed)

    kill_update(rehearsed, "destroy", after_lines=chosen.randrange(5, DESTROY_LINES))
    assert_named(rehearsed)
    project.pulumi("cancel", "--yes", "--stack", STACK, check=None)
    if chosen.random() < 0.5:
        project.up()
        assert rehearsed.accounts.ids() == in_state(rehearsed)
        project.gaxx("run", "--", "true")


def test_a_lost_machine_behind_a_firewall_does_not_stop_the_destroy(rehearsed: Rehearsed) -> None:
    # Vultr deletes no group that is in use, and the sweep comes after all groups.
    rehearsed.create(vultr(1))
    rehearsed.project.up()
    (known_one,) = rehearsed.accounts.vultrs()
    names = ("region", "plan", "os_id", "label", "tags", "firewall_group_id")
    order = {name: known_one[name] for name in names}
    lost = rehearsed.accounts.vultr("POST", "instances", order)["instance"]
    theirs = [tag for tag in known_one["tags"] if not tag.startswith("gaxx:stack=")] + ["gaxx:stack=other"]
    stranger = rehearsed.accounts.vultr("POST", "instances", {**order, "tags": theirs, "firewall_group_id": ""})

    said = rehearsed.project.destroy().text

    assert f"removing vultr's machine {lost['label']}" in said
    assert rehearsed.accounts.ids() == {stranger["instance"]["id"]}
    rehearsed.accounts.vultr("DELETE", f"instances/{stranger['instance']['id']}")


@pytest.mark.soak
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


def assert_named(rehearsed: Rehearsed) -> None:
    """Whatever stands at the vendors is in the state, or named by a dry run as ours."""
    done = rehearsed.project.gaxx("reap", "--json", "--grace", "0")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    named = {(one["cloud"], one["kind"], one["id"]) for one in records if one["event"] == "found"}
    assert {one["verdict"] for one in records if one["event"] == "found"} <= {"orphan", "locked"}
    unnamed = standing(rehearsed) - known(rehearsed) - named
    assert not unnamed, f"neither state nor reap names {unnamed}"


def standing(rehearsed: Rehearsed) -> set[Name]:
    """All that is at the vendors."""
    accounts = rehearsed.accounts
    found = {("linode", "machine", str(one["id"])) for one in accounts.linodes()}
    found |= {("vultr", "machine", one["id"]) for one in accounts.vultrs()}
    for kind, path in (("firewall", "networking/firewalls"), ("network", "vpcs"), ("key", "profile/sshkeys")):
        found |= {("linode", kind, str(one["id"])) for one in accounts.linode("GET", path)["data"]}
    for kind, path, key in (
        ("firewall", "firewalls", "firewall_groups"),
        ("network", "vpcs", "vpcs"),
        ("key", "ssh-keys", "ssh_keys"),
    ):
        found |= {("vultr", kind, one["id"]) for one in accounts.vultr("GET", path)[key]}
    return found


def known(rehearsed: Rehearsed) -> set[Name]:
    """All that the state knows."""
    return {
        (*_TYPES[one["type"]], str(one["id"]))
        for one in rehearsed.project.resources(STACK)
        if one["type"] in _TYPES and one.get("id")
    }


def in_state(rehearsed: Rehearsed) -> set[str]:
    """Ids of the machines that the state knows."""
    return {one for _, kind, one in known(rehearsed) if kind == "machine"}


def kill_update(rehearsed: Rehearsed, verb: str = "up", *, after_lines: int) -> None:
    """Start an update and kill all of its processes once it has said so much."""
    with rehearsed.project.started("pulumi", verb, "--yes", "--skip-preview", "--non-interactive") as update:
        assert update.stdout is not None
        for number, _ in enumerate(update.stdout, 1):
            if number == after_lines:
                break
        for pid in (*remains.descendants(update.pid), update.pid):
            kill(pid)
    mark = f"PULUMI_HOME={rehearsed.project.environment['PULUMI_HOME']}"
    until(lambda: not [line for line in remains.processes(mark) if "rehearse" not in line], deadline_s=30)
