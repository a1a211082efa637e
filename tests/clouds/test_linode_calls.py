"""Linode's API as its plugin uses it beyond what a fleet's life asks for."""

from collections.abc import Iterator
from typing import Any

import pytest

from tasks.rehearsal.faults import Faults, parse
from tests.clouds.accounts import Accounts
from tests.clouds.service import served
from tests.waiting import until

pytestmark = pytest.mark.clouds

ORDER = {"region": "nl-ams", "type": "g6-nanode-1", "image": "linode/debian12", "root_pass": "An-0ther-Pass-word"}
PUBLIC = {"purpose": "public", "primary": True}


@pytest.fixture
def accounts() -> Iterator[Accounts]:
    with served() as started:
        yield Accounts(started.environment())


def made(accounts: Accounts, label: str, *interfaces: dict[str, Any]) -> str:
    """The path of a new instance that runs."""
    instance = accounts.linode("POST", "linode/instances", {**ORDER, "label": label, "interfaces": list(interfaces)})
    path = f"linode/instances/{instance['id']}"
    until(lambda: accounts.linode("GET", path)["status"] == "running")
    return path


def subnet(accounts: Accounts) -> tuple[str, dict[str, Any]]:
    """The path of a subnet, and what connects an instance to it."""
    vpc = accounts.linode("POST", "vpcs", {"label": "web", "region": "nl-ams"})["id"]
    one = accounts.linode("POST", f"vpcs/{vpc}/subnets", {"label": "nodes", "ipv4": "10.20.0.0/28"})["id"]
    return f"vpcs/{vpc}/subnets/{one}", {"purpose": "vpc", "subnet_id": one}


def test_a_configuration_that_connects_to_a_network_keeps_doing_so_when_something_else_of_it_changes(
    accounts: Accounts,
) -> None:
    path, (subnet_path, connected) = made(accounts, "web-1"), subnet(accounts)
    (config,) = accounts.linode("GET", f"{path}/configs")["data"]
    config_path = f"{path}/configs/{config['id']}"

    accounts.linode("POST", f"{path}/shutdown")
    assert accounts.linode("GET", path)["status"] == "offline"
    accounts.linode("PUT", config_path, {"interfaces": [PUBLIC, connected]})
    accounts.linode("POST", f"{path}/boot")
    assert accounts.linode("GET", path)["status"] == "running"
    accounts.linode("PUT", config_path, {"comments": "told", "interfaces": None, "memory_limit": None})

    config = accounts.linode("GET", config_path)
    assert config["comments"] == "told"
    assert [(one["purpose"], one["active"]) for one in config["interfaces"]] == [("public", True), ("vpc", True)]
    assert config["interfaces"][1]["ipv4"]["vpc"] == "10.20.0.2"
    (there,) = accounts.linode("GET", subnet_path)["linodes"]
    assert path.endswith(f"/{there['id']}")
    accounts.linode("PUT", config_path, {"interfaces": [PUBLIC]})
    assert accounts.linode("GET", subnet_path)["linodes"] == []
    accounts.linode("DELETE", subnet_path)


def test_an_address_in_a_network_is_given_once_and_again_when_it_is_free(accounts: Accounts) -> None:
    _, connected = subnet(accounts)

    def address(path: str) -> str:
        (config,) = accounts.linode("GET", f"{path}/configs")["data"]
        return str(config["interfaces"][1]["ipv4"]["vpc"])

    paths = [made(accounts, f"web-{number}", PUBLIC, connected) for number in range(3)]
    assert [address(path) for path in paths] == ["10.20.0.2", "10.20.0.3", "10.20.0.4"]
    accounts.linode("DELETE", paths[1])
    assert address(made(accounts, "web-3", PUBLIC, connected)) == "10.20.0.3"


def test_what_is_deleted_twice_while_it_goes_is_answered_twice() -> None:
    with served(faults=Faults(parse("late-delete=1"))) as started:
        accounts = Accounts(started.environment())
        path = made(accounts, "web-1")
        for _ in range(2):
            accounts.linode("DELETE", path)
        assert accounts.linode("GET", path)["status"] == "deleting"
        told = [event["action"] for event in accounts.linode("GET", "account/events")["data"]]
        assert told.count("linode_delete") == 2, "whoever deletes waits for an event of their own"

        order = {"region": "ams", "plan": "vc2-1c-1gb", "os_id": 2136, "label": "web-2"}
        machine = accounts.vultr("POST", "instances", order)["instance"]["id"]
        for _ in range(2):
            accounts.vultr("DELETE", f"instances/{machine}")
        assert accounts.vultr("GET", f"instances/{machine}")["instance"]["id"] == machine
