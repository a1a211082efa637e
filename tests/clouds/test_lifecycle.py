"""A stack on both clouds through the real engine: up, in-place changes, growth, replacement, destroy."""

import typing

import pytest

from tests.clouds.rehearsed import STACK, Rehearsed, linode, vultr

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(300)]


def test_a_stack_on_both_clouds_lives_and_leaves_nothing(rehearsed: Rehearsed) -> None:
    project, accounts = rehearsed.project, rehearsed.accounts
    rehearsed.create(linode(2), vultr(1))

    project.up()
    project.gaxx("run", "--", "true")
    project.pulumi("preview", "--expect-no-changes")
    three = accounts.ids()
    assert len(three) == 3
    assert not any(one["watchdog_enabled"] for one in accounts.linodes()), "what powers itself off stays off"

    # A rule changes in place: no machine is touched.
    wider: dict[str, typing.Any] = {"sshCidrs": ["127.0.0.0/8", "203.0.113.7/32"]}
    rehearsed.change(linode(2, **wider), vultr(1, **wider))
    project.up()
    assert accounts.ids() == three
    (firewall,) = accounts.linode("GET", "networking/firewalls")["data"]
    assert firewall["rules"]["inbound"][0]["addresses"]["ipv4"] == ["127.0.0.0/8", "203.0.113.7/32"]
    assert {device["id"] for device in firewall["entities"]} == {one["id"] for one in accounts.linodes()}

    rehearsed.change(linode(3, **wider), vultr(2, **wider))
    project.up()
    assert three < accounts.ids()
    assert len(accounts.ids()) == 5
    rehearsed.change(linode(1, **wider), vultr(1, **wider))
    project.up()
    two = accounts.ids()
    assert len(two) == 2
    assert two < three

    rehearsed.change(linode(1, image="linode/debian13", **wider), vultr(1, **wider))
    project.up()
    assert len(accounts.ids()) == 2
    assert len(accounts.ids() & two) == 1, "the Linode is another one, the other machine is the same"
    project.pulumi("preview", "--expect-no-changes")
    project.gaxx("run", "--", "true")

    project.destroy()
    assert not any(accounts.left().values())
    assert project.resources(STACK) == []
