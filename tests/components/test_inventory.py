"""The inventory: the same after a way through JSON, and one line about what is none."""

import json

import pytest

from components.errors import InventoryError
from components.inventory import INVENTORY_VERSION, Inventory, Node, Principal

NODE = Node(
    name="demo-1",
    fleet="demo",
    index=1,
    cloud="local",
    region="",
    type="small",
    image="",
    machine_id="m1",
    address="127.0.0.2",
    reach="direct",
    ssh_host="127.0.0.2",
    ssh_port=2222,
    ssh_user="gaxx",
    ssh_host_keys=("ssh-ed25519 AAAA",),
    agent_port=8088,
    metrics_port=9091,
    tls_name="demo-1.dev.gaxx",
    slots=2,
    groups=("gpu",),
    created="2026-01-01T00:00:00Z",
    expires="",
    agent_build="0" * 64,
)
ADA = Principal(name="ada", role="operator", certificate="PEM", key_sha256="1" * 64, token="t")
INVENTORY = Inventory("gaxx", "dev", "b1", "PEM", (NODE,), (ADA,), ("demo-2",))


def test_it_is_the_same_after_a_way_through_json() -> None:
    assert Inventory.from_json(INVENTORY.to_json()) == INVENTORY


def test_whole_numbers_that_the_engine_hands_on_as_floats_are_whole_again() -> None:
    data = json.loads(INVENTORY.to_json())
    data["nodes"][0] |= {"index": 1.0, "ssh_port": 2222.0, "slots": 2.0}
    (node,) = Inventory.from_dict(data).nodes
    assert node == NODE
    assert isinstance(node.slots, int)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"version": 99}, "has version 99; this gaxx reads version"),
        ({"nodes": ["demo-1"]}, "lacks or has an unknown field"),
        ({"nodes": [{"name": "demo-1"}]}, "lacks or has an unknown field"),
        ({"nodes": [{**json.loads(INVENTORY.to_json())["nodes"][0], "slots": "two"}]}, "lacks or has an unknown field"),
        ({"nodes": [{**json.loads(INVENTORY.to_json())["nodes"][0], "slots": None}]}, "lacks or has an unknown field"),
        ({"principals": None}, "lacks or has an unknown field"),
        ({"more": 1}, "lacks or has an unknown field"),
    ],
)
def test_what_is_no_inventory_of_this_version_is_one_line(changed: dict[str, object], said: str) -> None:
    with pytest.raises(InventoryError) as refused:
        Inventory.from_dict({**json.loads(INVENTORY.to_json()), "version": INVENTORY_VERSION, **changed})
    assert said in refused.value.message
    assert "\n" not in refused.value.message
