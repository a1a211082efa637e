"""Private networks, Vultr's keys, and what a region cannot do."""

import pathlib

import pytest

from tests.clouds.rehearsed import STACK, Rehearsed, linode, new_rehearsed, vultr
from tests.clouds.test_faults import converge
from tests.clouds.test_interrupted import in_state

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(300)]

RANGE = {"privateNetwork": "10.20.0.0/24"}


def test_machines_are_in_their_fleets_private_network_and_a_destroy_leaves_none(rehearsed: Rehearsed) -> None:
    project, accounts = rehearsed.project, rehearsed.accounts
    rehearsed.create(linode(2, **RANGE), vultr(1, **RANGE))
    project.up()

    assert accounts.left() == {"instances": 3, "firewalls": 2, "networks": 3, "keys": 1}
    for machine in accounts.linodes():
        (config,) = accounts.linode("GET", f"linode/instances/{machine['id']}/configs")["data"]
        assert [one["purpose"] for one in config["interfaces"]] == ["public", "vpc"]
    regions = {network["region"] for network in accounts.linode("GET", "vpcs")["data"]}
    assert regions == {"nl-ams", "de-fra-2"}, "one in each region"
    (machine,) = accounts.vultrs()
    (attached,) = accounts.vultr("GET", f"instances/{machine['id']}/vpcs")["vpcs"]
    (network,) = accounts.vultr("GET", "vpcs")["vpcs"]
    assert attached["id"] == network["id"]
    assert (network["v4_subnet"], network["v4_subnet_mask"]) == ("10.20.0.0", 24)
    (key,) = accounts.vultr("GET", "ssh-keys")["ssh_keys"]
    assert f"gaxx:stack={STACK}" in key["ssh_key"]
    project.pulumi("preview", "--expect-no-changes")
    project.gaxx("run", "--", "true")

    project.destroy()
    assert not any(accounts.left().values())


def test_machines_are_made_anew_in_another_network_and_the_old_one_goes(rehearsed: Rehearsed) -> None:
    project, accounts = rehearsed.project, rehearsed.accounts

    def declare(**more: str) -> None:
        rehearsed.change(linode(1, **more), vultr(1, **more))
        project.up()
        project.gaxx("run", "--", "true")
        project.pulumi("preview", "--expect-no-changes")

    rehearsed.create(linode(1), vultr(1))
    project.up()
    before = accounts.ids()
    for addresses, networks in (("10.20.0.0/24", 2), ("10.20.0.0/20", 2), ("", 0)):
        declare(**({"privateNetwork": addresses} if addresses else {}))
        assert accounts.left() == {"instances": 2, "firewalls": 2, "networks": networks, "keys": 1}, addresses
        assert not before & accounts.ids(), "what a machine is connected to is part of it"
        before = accounts.ids()
        ranges = {subnet["ipv4"] for network in accounts.linode("GET", "vpcs")["data"] for subnet in network["subnets"]}
        assert ranges == ({addresses} if addresses else set())
    (machine,) = accounts.vultrs()
    assert accounts.vultr("GET", f"instances/{machine['id']}/vpcs")["vpcs"] == []


def test_networks_and_keys_of_creates_that_failed_and_yet_created_do_not_stay(bundles: pathlib.Path) -> None:
    with new_rehearsed(bundles, "--faults", "create-500=0.5/4", "--seed", "1") as rehearsed:
        rehearsed.create(linode(1, **RANGE), vultr(1, **RANGE))
        converge(rehearsed)
        assert rehearsed.accounts.ids() == in_state(rehearsed)
        # And what they left is gone with the stack: the fixture sees to it.


def test_a_subnet_that_no_state_knows_is_removed_from_our_network(rehearsed: Rehearsed) -> None:
    project, accounts = rehearsed.project, rehearsed.accounts
    rehearsed.create(linode(1, **RANGE))
    project.up()
    (network,) = accounts.linode("GET", "vpcs")["data"]
    (ours,) = network["subnets"]
    # As a create leaves it that failed and yet created: the next one with these addresses would be refused.
    order = {"label": "lost", "ipv4": "10.20.1.0/24"}
    lost = accounts.linode("POST", f"vpcs/{network['id']}/subnets", order)

    said = project.up().text

    assert f"removing subnet {lost['id']}, which an interrupted update left" in said
    (network,) = accounts.linode("GET", "vpcs")["data"]
    assert [one["id"] for one in network["subnets"]] == [ours["id"]]
    project.pulumi("preview", "--expect-no-changes")


def test_a_region_that_cannot_do_it_is_refused_before_anything_is_made(rehearsed: Rehearsed) -> None:
    rehearsed.create(linode(1, regions=["ap-west"]), linode(1, "south", regions=["ap-southeast"], **RANGE))
    said = rehearsed.project.up(check=None)

    assert said.code != 0
    assert "gaxx:fleets[0].regions[0]: linode's region ap-west hands over no user-data" in said.text
    assert "gaxx:fleets[1].regions[0]: linode's region ap-southeast has no private networks" in said.text
    assert "networks; us-southeast, ap-northeast, ap-south, " in said.text, "the likeliest of what would do come first"
    assert not any(rehearsed.accounts.left().values())

    rehearsed.change(linode(1, regions=["nowhere"]), vultr(1, regions=["mars"]))
    said = rehearsed.project.pulumi("preview", check=None)
    assert "linode has no region nowhere" in said.text
    assert "vultr has no region mars" in said.text

    rehearsed.change(linode(1, regions=["ap-southeast"]))
    said = rehearsed.project.up()
    assert "linode encrypts no disks in ap-southeast" in said.text
    (machine,) = rehearsed.accounts.linodes()
    assert machine["disk_encryption"] == "disabled"
    rehearsed.project.pulumi("preview", "--expect-no-changes")


def test_a_plan_holds_for_machines_of_linode_and_a_label_that_is_used_up_is_not_taken_again(
    bundles: pathlib.Path,
) -> None:
    with new_rehearsed(bundles, "--faults", "create-500=1/1") as rehearsed:
        project, accounts = rehearsed.project, rehearsed.accounts
        rehearsed.create(linode(1))
        project.pulumi("preview", "--save-plan", "plan.json")
        # The firewall's create fails and yet creates: its label is taken.
        said = project.up("--plan", "plan.json", check=None)
        assert said.code != 0
        assert "Internal Server Error" in said.text
        assert accounts.left()["firewalls"] == 1

        project.pulumi("preview", "--save-plan", "plan.json")
        project.up("--plan", "plan.json")
        assert accounts.left() == {"instances": 1, "firewalls": 2, "networks": 0, "keys": 0}
        project.pulumi("preview", "--expect-no-changes")

        rehearsed.change(linode(2))
        project.pulumi("preview", "--save-plan", "plan.json")
        project.up("--plan", "plan.json")
        assert len(accounts.linodes()) == 2
        project.pulumi("preview", "--expect-no-changes")
