"""Vultr's API as its plugin and its client use it: wrapped answers, cursors, and "gone" said in words."""

import base64
from collections.abc import Iterator

import httpx
import pytest

from tests.clouds.accounts import Accounts
from tests.clouds.service import served
from tests.waiting import until

pytestmark = pytest.mark.clouds

ORDER = {"region": "ams", "plan": "vc2-1c-1gb", "os_id": 2136, "label": "web-1", "tags": ["a"], "backups": "disabled"}
RULE = {"ip_type": "v4", "protocol": "tcp", "port": "22", "subnet": "203.0.113.0", "subnet_size": 24}


@pytest.fixture
def accounts() -> Iterator[Accounts]:
    with served() as started:
        yield Accounts(started.environment())


def refused(accounts: Accounts, method: str, path: str, body: object = None) -> str:
    """The text of a refusal."""
    with pytest.raises(httpx.HTTPStatusError) as error:
        accounts.vultr(method, path, body)
    return error.value.response.text


def test_an_instance_becomes_active_then_runs_and_echoes_its_order(accounts: Accounts) -> None:
    group = accounts.vultr("POST", "firewalls", {"description": "web"})["firewall_group"]["id"]
    data = base64.b64encode(b"#cloud-config\n").decode()
    order = {**ORDER, "firewall_group_id": group, "hostname": "web-1", "user_data": data}
    made = accounts.vultr("POST", "instances", order)["instance"]
    assert (made["status"], made["power_status"]) == ("pending", "stopped")
    path = f"instances/{made['id']}"
    until(lambda: accounts.vultr("GET", path)["instance"]["power_status"] == "running")

    shown = accounts.vultr("GET", path)["instance"]
    assert {key: shown[key] for key in (*ORDER, "hostname", "firewall_group_id") if key != "backups"} == {
        key: value for key, value in order.items() if key not in {"backups", "user_data"}
    }
    assert shown["main_ip"].startswith("127.")
    assert accounts.vultr("GET", f"{path}/backup-schedule")["backup_schedule"]["enabled"] is False
    assert accounts.vultr("GET", f"{path}/vpcs")["vpcs"] == []
    assert accounts.vultr("GET", f"{path}/user-data")["user_data"]["data"] == data

    accounts.vultr("PATCH", path, {"label": "web-2", "tags": None, "plan": "vc2-2c-4gb"})
    shown = accounts.vultr("GET", path)["instance"]
    assert (shown["label"], shown["tags"], shown["plan"]) == ("web-2", ["a"], "vc2-2c-4gb")
    assert "in use" in refused(accounts, "DELETE", f"firewalls/{group}")
    accounts.vultr("DELETE", path)
    assert "invalid instance ID" in refused(accounts, "GET", path)
    accounts.vultr("DELETE", f"firewalls/{group}")
    assert '"status":404' in refused(accounts, "GET", f"firewalls/{group}")


def test_rules_have_numbers_and_none_is_there_twice(accounts: Accounts) -> None:
    group = accounts.vultr("POST", "firewalls", {"description": "web"})["firewall_group"]["id"]
    path = f"firewalls/{group}/rules"
    rule = accounts.vultr("POST", path, {**RULE, "notes": "ssh"})["firewall_rule"]
    assert {key: rule[key] for key in RULE} == RULE
    assert rule["id"] == 1
    assert "already defined" in refused(accounts, "POST", path, RULE)
    accounts.vultr("DELETE", f"{path}/1")
    assert "Firewall rule ID not found" in refused(accounts, "GET", f"{path}/1")


def test_networks_are_kept_as_long_as_machines_are_attached(accounts: Accounts) -> None:
    network = {"region": "ams", "description": "web", "v4_subnet": "192.0.2.0", "v4_subnet_mask": 24}
    made = accounts.vultr("POST", "vpcs", network)["vpc"]
    assert {key: made[key] for key in network} == network
    machine = accounts.vultr("POST", "instances", {**ORDER, "attach_vpc": [made["id"]]})["instance"]
    assert "attached to this VPC network" in refused(accounts, "DELETE", f"vpcs/{made['id']}")
    accounts.vultr("PATCH", f"instances/{machine['id']}", {"detach_vpc": [made["id"]]})
    accounts.vultr("DELETE", f"vpcs/{made['id']}")
    assert "Invalid VPC ID" in refused(accounts, "GET", f"vpcs/{made['id']}")


def test_cursors_lead_through_a_long_list(accounts: Accounts) -> None:
    for number in range(5):
        accounts.vultr("POST", "ssh-keys", {"name": f"key-{number}", "ssh_key": "ssh-ed25519 AAAA"})
    names: list[str] = []
    cursor = ""
    while True:
        answer = accounts.vultr("GET", f"ssh-keys?per_page=2&cursor={cursor}")
        names += [key["name"] for key in answer["ssh_keys"]]
        cursor = answer["meta"]["links"]["next"]
        if not cursor:
            break
    assert names == [f"key-{number}" for number in range(5)]
    assert answer["meta"]["total"] == 5


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [({"region": "moon"}, "region"), ({"plan": "huge"}, "plan"), ({"os_id": 1}, "os_id"), ({"app_id": 2}, "One of")],
)
def test_a_wrong_order_is_refused_with_its_reason(accounts: Accounts, wrong: dict[str, object], reason: str) -> None:
    assert reason in refused(accounts, "POST", "instances", {**ORDER, **wrong})
