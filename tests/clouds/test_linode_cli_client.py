"""linode-cli, whose calls are made from Linode's own description of its API, finds the rehearsal to be Linode."""

import dataclasses
import json
import pathlib
import secrets
import subprocess
import sys
import typing
from collections.abc import Iterator

import pytest

from tests.clouds.service import served
from tests.waiting import until

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(300)]

PROGRAM = pathlib.Path(sys.prefix) / "bin" / "linode-cli"


@dataclasses.dataclass(frozen=True, slots=True)
class Client:
    """The program, and the account that it is led to."""

    environment: dict[str, str]

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run it; what it prints is JSON."""
        return subprocess.run(
            (str(PROGRAM), *words, "--json", "--suppress-warnings"), env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def __call__(self, *words: str) -> list[dict[str, typing.Any]]:
        """Run it; return what it found."""
        done = self.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        found: list[dict[str, typing.Any]] = json.loads(done.stdout) if done.stdout.strip() else []
        return found

    def refused(self, *words: str) -> str:
        """Run it; it must fail. Return what it said."""
        done = self.run(*words)
        assert done.returncode != 0, done.stdout
        return done.stdout + done.stderr


@pytest.fixture
def cli(tmp_path: pathlib.Path) -> Iterator[Client]:
    with served() as rehearsal:
        yield Client(
            {
                "PATH": "/usr/bin:/bin",
                "HOME": str(tmp_path),
                "LANG": "C.UTF-8",
                "LINODE_CLI_TOKEN": rehearsal.linode_token,
                "LINODE_CLI_API_HOST": f"127.0.0.1:{rehearsal.port}",
                "LINODE_CLI_API_SCHEME": "http",
                "LINODE_CLI_API_VERSION": "v4",
            }
        )


def test_a_machine_lives_behind_its_firewall(cli: Client) -> None:
    accept = {
        "action": "ACCEPT", "label": "ssh", "protocol": "TCP", "ports": "22",
        "addresses": {"ipv4": ["203.0.113.7/32"]},
    }  # fmt: skip
    (firewall,) = cli(
        "firewalls", "create", "--label", "web", "--rules.inbound_policy", "DROP", "--rules.outbound_policy", "ACCEPT",
        "--rules.inbound", json.dumps([accept]), "--tags", "gaxx:stack=prod",
    )  # fmt: skip
    order = (
        "--type", "g6-nanode-1", "--region", "nl-ams", "--image", "linode/debian12", "--label", "web-1", "--tags",
        "gaxx:stack=prod", "--root_pass", secrets.token_hex(16), "--firewall_id", str(firewall["id"]),
    )  # fmt: skip
    (made,) = cli("linodes", "create", *order)
    assert "Label must be unique" in cli.refused("linodes", "create", *order)
    number = str(made["id"])
    until(lambda: cli("linodes", "view", number)[0]["status"] == "running", deadline_s=60)

    (device,) = cli("firewalls", "devices-list", str(firewall["id"]))
    assert device["entity"]["id"] == made["id"]
    (rules,) = cli("firewalls", "rules-list", str(firewall["id"]))
    assert rules["inbound"][0]["ports"] == "22"
    (rules,) = cli(
        "firewalls", "rules-update", str(firewall["id"]), "--inbound", "[]", "--inbound_policy", "DROP",
        "--outbound_policy", "ACCEPT", "--outbound", "[]",
    )  # fmt: skip
    assert rules["inbound"] == []

    (changed,) = cli("linodes", "update", number, "--label", "web-2", "--tags", "more")
    assert (changed["label"], changed["tags"]) == ("web-2", ["more"])
    assert [one["id"] for one in cli("linodes", "list", "--label", "web-2")] == [made["id"]]
    assert cli("linodes", "list", "--label", "web-1") == []
    assert cli("linodes", "ips-list", number)[0]["ipv4"]["public"][0]["address"] == made["ipv4"][0]

    cli("linodes", "delete", number)
    assert cli("linodes", "list") == []
    assert "Not found" in cli.refused("linodes", "view", number)
    assert "linode_delete" in {event["action"] for event in cli("events", "list")}
    cli("firewalls", "delete", str(firewall["id"]))
    assert cli("firewalls", "list") == []


def test_networks_and_keys_come_change_and_go(cli: Client) -> None:
    (network,) = cli("vpcs", "create", "--label", "web", "--region", "nl-ams", "--description", "gaxx:stack=prod")
    number = str(network["id"])
    (subnet,) = cli("vpcs", "subnet-create", number, "--label", "nodes", "--ipv4", "10.7.0.0/24")
    assert cli("vpcs", "view", number)[0]["subnets"][0]["id"] == subnet["id"]
    assert cli("vpcs", "update", number, "--description", "changed")[0]["description"] == "changed"
    cli("vpcs", "subnet-delete", number, str(subnet["id"]))
    cli("vpcs", "delete", number)
    assert cli("vpcs", "list") == []

    (key,) = cli("sshkeys", "create", "--label", "ada", "--ssh_key", "ssh-ed25519 AAAA ada")
    assert cli("sshkeys", "update", str(key["id"]), "--label", "bob")[0]["label"] == "bob"
    cli("sshkeys", "delete", str(key["id"]))
    assert cli("sshkeys", "list") == []


def test_what_is_offered_is_listed_and_a_stranger_is_refused(cli: Client) -> None:
    assert {"nl-ams", "de-fra-2"} <= {one["id"] for one in cli("regions", "list")}
    kinds = {one["id"]: one for one in cli("linodes", "types")}
    assert kinds["g6-nanode-1"]["price"]["hourly"] > 0
    assert cli("linodes", "type-view", "g6-nanode-1")[0]["memory"] == 1024
    assert "linode/debian12" in {one["id"] for one in cli("images", "list")}
    assert cli("profile", "view")[0]["username"]
    cli.environment["LINODE_CLI_TOKEN"] = "0" * 64
    assert "Invalid Token" in cli.refused("linodes", "list")
