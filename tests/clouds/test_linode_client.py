"""Linode's own client, which we did not write, finds the rehearsal to be Linode."""

import secrets
from collections.abc import Iterator

import linode_api4
import pytest

from tasks.rehearsal.service import Rehearsal
from tests.clouds.service import served
from tests.waiting import until

pytestmark = pytest.mark.clouds

RULES = {
    "inbound_policy": "DROP",
    "outbound_policy": "ACCEPT",
    "inbound": [
        {
            "action": "ACCEPT",
            "label": "gaxx-ssh",
            "protocol": "TCP",
            "ports": "22",
            "addresses": {"ipv4": ["203.0.113.7/32"]},
        }
    ],
    "outbound": [],
}


@pytest.fixture
def rehearsal() -> Iterator[Rehearsal]:
    with served() as started:
        yield started


@pytest.fixture
def client(rehearsal: Rehearsal) -> Iterator[linode_api4.LinodeClient]:
    made = linode_api4.LinodeClient(rehearsal.linode_token, base_url=f"{rehearsal.url}/v4")
    with made.session:
        yield made


def create(client: linode_api4.LinodeClient, label: str, **more: object) -> linode_api4.Instance:
    """Make an instance that nobody enters."""
    return client.linode.instance_create(
        "g6-nanode-1", "nl-ams", image="linode/debian12", root_pass=secrets.token_hex(16), label=label, **more
    )


def test_an_instance_is_made_found_changed_and_deleted(client: linode_api4.LinodeClient) -> None:
    made = create(client, "web-1", tags=["gaxx:stack=prod"])
    assert made.status in {"provisioning", "booting"}
    assert made.specs.memory == 1024
    until(lambda: client.load(linode_api4.Instance, made.id).status == "running")

    (found,) = client.linode.instances(linode_api4.Instance.label == "web-1")
    assert found.id == made.id
    found.label = "web-2"
    found.tags = ["gaxx:stack=prod", "more"]
    assert found.save()
    again = client.load(linode_api4.Instance, made.id)
    assert (again.label, sorted(again.tags)) == ("web-2", ["gaxx:stack=prod", "more"])
    assert again.ips.ipv4.public[0].address == again.ipv4[0]
    assert len(again.disks) == 1
    assert len(again.configs) == 1

    assert again.delete()
    assert [event.action for event in client.account.events()].count("linode_delete") == 1
    assert list(client.linode.instances()) == []


def test_pages_are_walked_and_filters_hold(client: linode_api4.LinodeClient) -> None:
    for number in range(30):
        create(client, f"node-{number:02}")

    assert len(list(client.linode.instances())) == 30
    client.page_size = 25
    assert {one.label for one in client.linode.instances()} == {f"node-{number:02}" for number in range(30)}
    some = client.linode.instances(linode_api4.Instance.label.contains("node-1"))
    assert len(list(some)) == 10


def test_a_firewall_protects_what_names_it_and_its_rules_change_in_place(client: linode_api4.LinodeClient) -> None:
    firewall = client.networking.firewall_create("web", RULES)
    machine = create(client, "web-1", firewall=firewall.id)

    assert [device.entity.id for device in firewall.devices] == [machine.id]
    firewall.update_rules({**RULES, "inbound": []})
    assert client.load(linode_api4.Firewall, firewall.id).rules.inbound == []
    with pytest.raises(linode_api4.ApiError, match="already assigned"):
        client.networking.firewall_create("other", RULES, devices={"linodes": [machine.id]})
    assert firewall.delete()


def test_networks_and_keys_come_and_go(client: linode_api4.LinodeClient) -> None:
    network = client.vpcs.create("web", "nl-ams")
    subnet = network.subnet_create("web", ipv4="192.0.2.0/24")
    assert subnet.delete()
    network.subnet_create("again", ipv4="192.0.2.0/24")
    assert network.delete(), "a network goes with its subnets"
    assert list(client.vpcs()) == []
    key = client.profile.ssh_key_upload("ssh-ed25519 AAAA", "ada")
    assert [one.label for one in client.profile.ssh_keys()] == ["ada"]
    assert key.delete()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"label": "no"}, "3-64 characters"),
        ({"label": "two--dashes"}, "ASCII letters"),
        ({"tags": ["no"]}, "3-50 characters"),
        ({"metadata": {"user_data": "not base64!"}}, "base64"),
        ({"firewall": 4711}, "firewall_id is not valid"),
    ],
)
def test_a_wrong_order_is_refused_with_its_reason(
    client: linode_api4.LinodeClient, wrong: dict[str, object], reason: str
) -> None:
    with pytest.raises(linode_api4.ApiError, match=reason) as refused:
        create(client, **{"label": "web-1", **wrong})  # type: ignore[arg-type]
    assert refused.value.status == 400


def test_a_label_is_unique(client: linode_api4.LinodeClient) -> None:
    create(client, "web-1")
    with pytest.raises(linode_api4.ApiError, match="Label must be unique among your linodes"):
        create(client, "web-1")


def test_a_stranger_is_refused(rehearsal: Rehearsal) -> None:
    stranger = linode_api4.LinodeClient("0" * 64, base_url=f"{rehearsal.url}/v4")
    with pytest.raises(linode_api4.ApiError, match="Invalid Token") as refused:
        list(stranger.linode.instances())
    assert refused.value.status == 401


def test_machines_of_two_rehearsals_have_different_numbers(client: linode_api4.LinodeClient) -> None:
    # Processes of a local node are found by its machine's id, whichever rehearsal on this computer it is of.
    with served() as another:
        other = linode_api4.LinodeClient(another.linode_token, base_url=f"{another.url}/v4")
        assert abs(create(client, "web-1").id - create(other, "web-1").id) > 1000
