"""A stack on one cloud or both through the real engine: up, in-place changes, growth, loss, replacement, work, down."""

import typing
from collections.abc import Callable, Mapping

import pytest

from tests.clouds.accounts import Accounts
from tests.clouds.rehearsed import STACK, Rehearsed, linode, vultr

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(400)]

Make = Callable[..., dict[str, object]]
CLOUDS: Mapping[str, Make] = {"linode": linode, "vultr": vultr}
NEWER = {"linode": "linode/debian13", "vultr": "2625"}


@pytest.mark.parametrize("clouds", [("linode",), ("vultr",), ("linode", "vultr")], ids="+".join)
def test_a_stack_lives_and_leaves_nothing(rehearsed: Rehearsed, clouds: tuple[str, ...]) -> None:
    project, accounts = rehearsed.project, rehearsed.accounts

    def fleets(nodes: int, *, images: Mapping[str, str] | None = None, **more: typing.Any) -> list[dict[str, object]]:
        counts = [(nodes + at) // len(clouds) for at in range(len(clouds))]
        own = [{"image": images[name]} if images else {} for name in clouds]
        return [CLOUDS[name](count, **more, **one) for name, count, one in zip(clouds, counts, own, strict=True)]

    # What a rehearsal makes is on this computer, where no jump host leads.
    rehearsed.create(*fleets(3), jumpHost="ada@bastion.invalid")
    project.up()
    project.gaxx("run", "--", "true")
    project.gaxx("run", "--via", "ssh", "--", "true")
    project.pulumi("preview", "--expect-no-changes")
    three = accounts.ids()
    assert len(three) == 3
    assert not any(one["watchdog_enabled"] for one in accounts.linodes()), "what powers itself off stays off"

    # A rule changes in place: no machine is touched.
    wider: dict[str, typing.Any] = {"sshCidrs": ["127.0.0.0/8", "203.0.113.7/32"]}
    rehearsed.change(*fleets(3, **wider))
    project.up()
    assert accounts.ids() == three
    assert_open_to(accounts, clouds, "203.0.113.7")

    rehearsed.change(*fleets(5, **wider))
    project.up()
    assert three < accounts.ids()
    assert len(accounts.ids()) == 5
    rehearsed.change(*fleets(2, **wider))
    project.up()
    two = accounts.ids()
    assert len(two) == 2
    assert two < three

    # One is deleted behind our back.
    if "linode" in clouds:
        accounts.linode("DELETE", f"linode/instances/{accounts.linodes()[0]['id']}")
    else:
        accounts.vultr("DELETE", f"instances/{accounts.vultrs()[0]['id']}")
    project.pulumi("refresh", "--yes")
    project.up()
    assert len(accounts.ids()) == 2
    assert len(accounts.ids() & two) == 1
    healed = accounts.ids()

    rehearsed.change(*fleets(2, images=NEWER, **wider))
    project.up()
    assert len(accounts.ids()) == 2
    assert not accounts.ids() & healed, "another image is another machine"
    project.pulumi("preview", "--expect-no-changes")

    project.gaxx("run", "--", "true")
    mapped = project.gaxx("map", "--", "sh", "-c", 'echo "got $GAXX_ITEM"', stdin="a\nb\nc\n")
    assert sorted(mapped.stdout.split("\n"))[-3:] == ["got a", "got b", "got c"]
    project.gaxx("down", "--yes")
    assert not any(accounts.left().values())
    assert project.resources(STACK) == []


def assert_open_to(accounts: Accounts, clouds: tuple[str, ...], address: str) -> None:
    """The firewalls let it in, and every machine is behind one."""
    if "linode" in clouds:
        (firewall,) = accounts.linode("GET", "networking/firewalls")["data"]
        assert f"{address}/32" in firewall["rules"]["inbound"][0]["addresses"]["ipv4"]
        assert {device["id"] for device in firewall["entities"]} == {one["id"] for one in accounts.linodes()}
    if "vultr" in clouds:
        (group,) = accounts.vultr("GET", "firewalls")["firewall_groups"]
        rules = accounts.vultr("GET", f"firewalls/{group['id']}/rules")["firewall_rules"]
        assert address in {rule["subnet"] for rule in rules if rule["port"] == "22"}
        assert {one["firewall_group_id"] for one in accounts.vultrs()} == {group["id"]}
