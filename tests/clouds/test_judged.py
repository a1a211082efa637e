"""What a review says of a branch with fleets of both vendors, plain `pulumi up` does: bad ones make nothing there."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping

import pytest

from tests.clouds.rehearsed import STACK, Rehearsed, linode, new_rehearsed, vultr
from tests.review.repository import PARAMETERS

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(400)]

REGIONS = ["nl-ams", "de-fra-2", "ams"]
WORLD = "0.0.0.0/0"
SECRET = "ghp_" + "Zz9" * 12

BAD: Mapping[str, tuple[Mapping[str, object], str]] = {
    "open-8088-to-the-world": ({"trustedCidrs": [WORLD]}, "trustedCidrs[0]"),
    "open-8088-to-the-ipv6-world": ({"trustedCidrs": ["10.0.0.0/8", "::/0"]}, "trustedCidrs[1]"),
    "open-8088-to-two-halves": ({"trustedCidrs": ["0.0.0.0/1", "128.0.0.0/1"]}, "trustedCidrs"),
    "open-ssh-to-the-world": ({"sshCidrs": [WORLD]}, "sshCidrs[0]"),
    "add-a-rule-for-6060": ({"ports": [6060]}, "ports"),
    "put-a-token-into-files": ({"files": {"/srv/token": SECRET}}, "files"),
    "exceed-the-node-budget": ({"nodes": 13}, "[mandatory]  node-budget"),
    "exceed-the-hourly-budget": (
        {"nodes": 12, "type": {"linode": "g6-dedicated-8", "vultr": "vc2-8c-32gb"}},
        "[mandatory]  hourly-budget",
    ),
    "move-out-of-the-allowed-regions": ({"regions": ["us-east"]}, "regions[0]"),
    "an-image-that-is-not-pinned": ({"image": {"linode": "linode/latest", "vultr": ""}}, "image"),
}


@contextlib.contextmanager
def judged(bundles: pathlib.Path) -> Iterator[Rehearsed]:
    """A project on a rehearsal whose updates are judged as after `gaxx env`."""
    with new_rehearsed(bundles) as made:
        parameters = made.project.home / "parameters.json"
        parameters.write_text(PARAMETERS)
        made.project.environment["PULUMI_OPTION_POLICY_PACK"] = str(made.project.folder / "policy")
        made.project.environment["PULUMI_OPTION_POLICY_PACK_CONFIG"] = str(parameters)
        yield made


def fleet(vendor: str, **changes: object) -> dict[str, object]:
    """One fleet of one machine, edited; a value by vendor is that vendor's."""
    own = {key: value[vendor] if key in ("type", "image") else value for key, value in changes.items()}  # type: ignore[index]
    made = linode(1, regions=["nl-ams"]) if vendor == "linode" else vultr(1)
    return {**made, **own}


@pytest.fixture(scope="module")
def empty(bundles: pathlib.Path) -> Iterator[Rehearsed]:
    """With a stack that nothing is in."""
    with judged(bundles) as made:
        made.create(fleet("linode"), fleet("vultr"), allowedRegions=REGIONS)
        yield made


@pytest.mark.parametrize("vendor", ["linode", "vultr"])
@pytest.mark.parametrize("name", BAD)
def test_a_branch_that_a_review_refuses_makes_nothing_at_a_vendor(empty: Rehearsed, vendor: str, name: str) -> None:
    changes, why = BAD[name]
    empty.change(fleet(vendor, **changes), allowedRegions=REGIONS)
    done = empty.project.pulumi("up", "--yes", check=None)

    assert done.code != 0
    assert why in done.text
    assert "Traceback" not in done.text
    assert SECRET not in done.text
    assert not any(empty.accounts.left().values())
    assert not [one for one in empty.project.resources(STACK) if one["type"].startswith(("linode:", "vultr:"))]


def test_a_stack_that_must_end_and_does_not_say_when_makes_nothing(empty: Rehearsed) -> None:
    empty.change(fleet("linode"), ttl=None, allowedRegions=REGIONS)  # None: not declared
    done = empty.project.pulumi("up", "--yes", check=None)

    assert done.code != 0
    assert "gaxx:ttl" in done.text
    assert not any(empty.accounts.left().values())


def test_branches_that_a_review_lets_pass_are_applied_one_after_the_other(bundles: pathlib.Path) -> None:
    with judged(bundles) as rehearsed:
        project, accounts = rehearsed.project, rehearsed.accounts
        rehearsed.create(fleet("linode"), fleet("vultr"), allowedRegions=REGIONS)
        project.pulumi("up", "--yes")
        before = accounts.ids()

        rehearsed.change(fleet("linode", sshCidrs=["127.0.0.0/8", "198.51.100.0/24"]), fleet("vultr", nodes=2))
        project.pulumi("up", "--yes")
        assert before < accounts.ids(), "a rule replaces nothing"
        assert len(accounts.ids()) == 3

        images = {"linode": "linode/debian13", "vultr": "2625"}
        rehearsed.change(fleet("linode", image=images, regions=["de-fra-2"]), fleet("vultr", image=images))
        project.pulumi("up", "--yes")
        assert len(accounts.ids()) == 2
        assert not before & accounts.ids(), "another image is another machine"
        (moved,) = accounts.linodes()
        assert (moved["region"], moved["image"]) == ("de-fra-2", "linode/debian13")
        project.pulumi("preview", "--expect-no-changes")
