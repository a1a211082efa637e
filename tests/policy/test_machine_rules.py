"""Image, region, disk, root password, tags, TTL and protection of machines, on every cloud."""

import dataclasses

import pytest

from policy.declared import UNKNOWN, Declared
from tests.policy.examples import TAGS, all_against, changed, enrolment, judge, linode, linode_firewall, local, vultr

MACHINES = {"linode": linode(), "vultr": vultr(), "local": local()}


@pytest.mark.parametrize("resource", [*MACHINES.values(), linode_firewall(), enrolment()], ids=lambda r: r.type)
def test_what_a_fleet_declares_is_accepted_by_every_rule(resource: Declared) -> None:
    assert all_against(resource) == {}


@pytest.mark.parametrize(
    "resource",
    [
        linode(image="linode/latest"),
        linode(image="linode/arch"),
        linode(image=None),
        linode(image=UNKNOWN),
        linode(image="https://example.org/image12"),
        vultr(osId=None),
        vultr(osId=UNKNOWN),
        vultr(osId=159),
        vultr(osId="debian"),
        vultr(osId=None, imageId="docker"),
        vultr(appId=37),
        vultr(isoId="cb676a46-66fd-4dfb-b839-443f2e6c0b60"),
        vultr(snapshotId=UNKNOWN),
        changed(local(), image="debian-latest"),
        changed(local(), image=UNKNOWN),
        changed(local(), image="/srv/images/debian-latest.qcow2"),
        changed(local(), image="https://example.org/debian-12.qcow2"),
        changed(local(), image="https://example.org/debian-12.qcow2#sha256=abc"),
        changed(local(), image=f"http://example.org/debian-12.qcow2#sha256={'0' * 64}"),
        changed(local(), image=f"http://127.0.0.1.example.org/debian-12.qcow2#sha256={'0' * 64}"),
        changed(local(), image=f"https://ada:secret@example.org/debian-12.qcow2#sha256={'0' * 64}"),
        linode(image=f"https://example.org/debian-12.qcow2#sha256={'0' * 64}"),
    ],
)
def test_an_image_that_is_not_pinned_is_refused(resource: Declared) -> None:
    assert judge("image-pinned", resource)


@pytest.mark.parametrize(
    "resource",
    [
        linode(image="linode/ubuntu24.04"),
        linode(image="private/15943292"),
        vultr(osId="2136"),
        vultr(osId=None, snapshotId="cb676a46-66fd-4dfb-b839-443f2e6c0b60"),
        changed(local(), image="debian-12"),
        changed(local(), image="/srv/images/debian-12.qcow2"),
        changed(local(), image=f"https://example.org/latest/debian-12.qcow2#sha256={'0' * 64}"),
        changed(local(), image=f"http://127.0.0.1:8000/debian-12.qcow2#sha256={'0' * 64}"),
    ],
)
def test_a_pinned_image_is_accepted(resource: Declared) -> None:
    assert judge("image-pinned", resource) == []


def test_only_images_of_the_list_are_accepted_where_there_is_one() -> None:
    assert judge("image-pinned", linode(), images=["linode/debian12"]) == []
    assert judge("image-pinned", linode(image="linode/debian13"), images=["linode/debian12"])
    assert judge("image-pinned", vultr(), images=["2136"]) == []
    assert judge("image-pinned", vultr(osId=2284), images=["2136"])


@pytest.mark.parametrize(("resource", "region"), [(linode(), "nl-ams"), (vultr(), "ams")])
@pytest.mark.parametrize("source", ["regions", "stackRegions"])
def test_a_region_off_the_list_is_refused(resource: Declared, region: str, source: str) -> None:
    (text,) = judge("region-allowed", resource, **{source: ["de-fra-2", "fra"]})

    assert region in text
    assert judge("region-allowed", resource, **{source: ["de-fra-2", region]}) == []


@pytest.mark.parametrize("resource", [linode(region=UNKNOWN), linode(region=None), vultr(region=UNKNOWN)])
def test_a_region_that_is_not_known_is_refused(resource: Declared) -> None:
    assert judge("region-allowed", resource)


def test_a_local_node_stands_in_no_region() -> None:
    assert judge("region-allowed", local(), regions=["de-fra-2"]) == []


@pytest.mark.parametrize("encryption", ["disabled", UNKNOWN])
def test_a_disk_without_encryption_is_refused(encryption: object) -> None:
    assert judge("disk-encrypted", linode(diskEncryption=encryption))


@pytest.mark.parametrize("encryption", ["enabled", None])
def test_an_encrypted_disk_is_accepted(encryption: object) -> None:
    assert judge("disk-encrypted", linode(diskEncryption=encryption)) == []


@pytest.mark.parametrize(
    "resource",
    [
        linode(rootPass="correct horse"),
        linode(rootPass=UNKNOWN),
        linode(disks=[{"label": "boot", "rootPass": "correct horse"}]),
        Declared("linode:index/instanceDisk:InstanceDisk", "boot", {"rootPass": "correct horse"}),
    ],
)
def test_a_root_password_is_refused(resource: Declared) -> None:
    assert judge("no-root-password", resource)


def test_a_disk_without_a_root_password_is_accepted() -> None:
    assert judge("no-root-password", linode(disks=[{"label": "boot", "size": 512}])) == []


@pytest.mark.parametrize("cloud", MACHINES)
def test_a_protected_machine_is_refused(cloud: str) -> None:
    assert judge("nothing-protected", dataclasses.replace(MACHINES[cloud], protected=True))


def test_a_lock_on_a_machine_is_refused() -> None:
    lock = Declared("linode:index/lock:Lock", "lock", {"entityId": UNKNOWN, "lockType": "cannot_delete"})

    assert judge("nothing-protected", lock)


def test_what_is_no_machine_may_be_protected() -> None:
    bucket = Declared("linode:index/objectStorageBucket:ObjectStorageBucket", "results", {}, protected=True)

    assert judge("nothing-protected", bucket) == []


@pytest.mark.parametrize("token", ["vultr:index/bareMetalServer:BareMetalServer", "linode:index/lkeCluster:LkeCluster"])
def test_machines_that_no_rule_sees_are_refused_unless_listed(token: str) -> None:
    resource = Declared(token, "unseen", {})

    assert judge("machines-judged", resource)
    assert judge("machines-judged", resource, accepted=[token]) == []


def with_ttl(resource: Declared, *ttls: str) -> Declared:
    return changed(resource, tags=[*TAGS[:-1], *(f"gaxx:ttl={ttl}" for ttl in ttls)])


@pytest.mark.parametrize("cloud", ["linode", "vultr"])
@pytest.mark.parametrize("ttls", [(), ("",), ("0h",), ("soon",), ("8d",), ("169h",), ("4h", "9h"), ("-4h",), ("٤h",)])
def test_a_paid_machine_without_a_good_ttl_is_refused(cloud: str, ttls: tuple[str, ...]) -> None:
    assert judge("ttl-limited", with_ttl(MACHINES[cloud], *ttls))


@pytest.mark.parametrize("cloud", MACHINES)
@pytest.mark.parametrize("ttl", ["4h", "7d", "6d23h59m60s", "30m"])
def test_a_ttl_up_to_the_limit_is_accepted(cloud: str, ttl: str) -> None:
    assert judge("ttl-limited", with_ttl(MACHINES[cloud], ttl)) == []


def test_a_local_node_needs_no_ttl_and_has_a_limit_all_the_same() -> None:
    assert judge("ttl-limited", with_ttl(local())) == []
    assert judge("ttl-limited", with_ttl(local(), "8d"))


def test_the_limit_of_the_ttl_is_configurable() -> None:
    assert judge("ttl-limited", with_ttl(linode(), "4h"), longest="3h59m")
    assert judge("ttl-limited", with_ttl(linode(), "4h"), longest="4h") == []


def test_the_ttl_of_an_enrolment_is_judged_too() -> None:
    assert judge("ttl-limited", enrolment(ttlS=8 * 86400))
    assert judge("ttl-limited", enrolment(ttlS=UNKNOWN))
    assert judge("ttl-limited", enrolment(ttlS=7 * 86400)) == []


@pytest.mark.parametrize("rule", ["ttl-limited", "tags-required"])
@pytest.mark.parametrize("cloud", MACHINES)
@pytest.mark.parametrize("tags", [UNKNOWN, [*TAGS, UNKNOWN]])
def test_tags_that_are_not_known_are_refused(rule: str, cloud: str, tags: object) -> None:
    assert judge(rule, changed(MACHINES[cloud], tags=tags))


@pytest.mark.parametrize("cloud", MACHINES)
@pytest.mark.parametrize("missing", ["backend", "fleet", "index", "owner", "project", "stack"])
def test_each_tag_is_required(cloud: str, missing: str) -> None:
    tags = [tag for tag in TAGS if not tag.startswith(f"gaxx:{missing}=")]
    (text,) = judge("tags-required", changed(MACHINES[cloud], tags=tags))

    assert missing in text
    assert judge("tags-required", changed(MACHINES[cloud], tags=[*tags, f"gaxx:{missing}="])), "empty is missing"


def test_other_required_tags_can_be_configured() -> None:
    assert judge("tags-required", linode(tags=["gaxx:team=render"]), tags=["team"]) == []
    assert judge("tags-required", linode(), tags=["team"])
