"""What we ask of the vendors' SDKs exists there, with the type that it has there."""

import base64
import functools
import importlib
import inspect
import json
import os
import subprocess
import sys
import types
import typing
from collections.abc import Mapping, Sequence

import pulumi.output
import pytest

from tests.clouds.declared import USER_DATA
from tests.stack.project import ROOT

pytestmark = pytest.mark.clouds

ARGS = {
    "linode:index/instance:Instance": ("pulumi_linode.instance", "InstanceArgs"),
    "linode:index/firewall:Firewall": ("pulumi_linode.firewall", "FirewallArgs"),
    "linode:index/vpc:Vpc": ("pulumi_linode.vpc", "VpcArgs"),
    "linode:index/vpcSubnet:VpcSubnet": ("pulumi_linode.vpc_subnet", "VpcSubnetInitArgs"),
    "vultr:index/vpc:Vpc": ("ediri_vultr.vpc", "VpcArgs"),
    "vultr:index/sSHKey:SSHKey": ("ediri_vultr.ssh_key", "SSHKeyArgs"),
    "vultr:index/instance:Instance": ("ediri_vultr.instance", "InstanceArgs"),
    "vultr:index/firewallGroup:FirewallGroup": ("ediri_vultr.firewall_group", "FirewallGroupArgs"),
    "vultr:index/firewallRule:FirewallRule": ("ediri_vultr.firewall_rule", "FirewallRuleArgs"),
}
# The plugins that are out there do not know these yet.
TOO_NEW = {"bootSize", "kernel", "linodeInterfaces"}


@functools.cache
def declared(name: str) -> dict[str, dict[str, typing.Any]]:
    """One machine and its firewall, as the engine would get them: by type, the last of each."""
    # In a process of its own: mocks are the whole process's.
    done = subprocess.run(
        (sys.executable, "-m", "tests.clouds.declared", name),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, typing.Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", ["linode", "vultr"])
def test_every_argument_exists_in_the_sdk_with_that_type(name: str) -> None:
    found = declared(name)

    ours = {kind: inputs for kind, inputs in found.items() if kind in ARGS}
    assert len(ours) == sum(kind.startswith(name) for kind in ARGS)
    for kind, inputs in ours.items():
        known = _inputs(*ARGS[kind])
        for key, value in inputs.items():
            if value is not None:
                assert key in known, f"{kind} has no {key}"
                assert _fits(_open(value), known[key]), f"{kind}: {key} is {known[key]}, not {value!r}"
        assert not TOO_NEW & {key for key, value in inputs.items() if value is not None}


def test_linode_gets_its_user_data_encoded_once_secret_and_no_password() -> None:
    instance = declared("linode")["linode:index/instance:Instance"]
    encoded = _open(instance["metadatas"])[0]["userData"]
    assert base64.b64decode(encoded).decode() == USER_DATA
    assert instance["diskEncryption"] == "enabled"
    assert instance.get("rootPass") is None
    assert instance["firewallId"] == 4711


def test_machines_are_in_their_fleets_private_network() -> None:
    linode, vultr = declared("linode"), declared("vultr")
    public, private = linode["linode:index/instance:Instance"]["interfaces"]
    assert (public["purpose"], public["primary"]) == ("public", True)
    assert (private["purpose"], private["subnetId"]) == ("vpc", 4711)
    assert linode["linode:index/vpcSubnet:VpcSubnet"]["ipv4"] == "10.20.0.0/24"
    assert vultr["vultr:index/instance:Instance"]["vpcIds"] == ["4711"]
    network = vultr["vultr:index/vpc:Vpc"]
    assert (network["v4Subnet"], network["v4SubnetMask"]) == ("10.20.0.0", 24)
    for words in (network["description"], linode["linode:index/vpc:Vpc"]["description"]):
        assert words == "gaxx:fleet=web gaxx:stack=prod", "whose it is"


def test_vultrs_root_gets_a_key_that_says_whose_it_is() -> None:
    found = declared("vultr")
    assert found["vultr:index/sSHKey:SSHKey"]["sshKey"] == "ssh-ed25519 AAAA gaxx:fleet=web gaxx:stack=prod"
    assert found["vultr:index/instance:Instance"]["sshKeyIds"] == ["4711"]


def test_linodes_labels_are_the_same_in_each_run_until_the_seed_changes() -> None:
    labels = [declared.__wrapped__("linode")["linode:index/instance:Instance"]["label"] for _ in range(2)]
    assert labels[0] == labels[1]
    assert labels[0].startswith("prod-web-1-0123-")


def test_vultr_gets_its_user_data_as_it_is_and_no_mail_is_sent() -> None:
    instance = declared("vultr")["vultr:index/instance:Instance"]
    assert _open(instance["userData"]) == USER_DATA
    assert instance["activationEmail"] is False
    assert instance["backups"] == "disabled"
    assert instance["firewallGroupId"] == "4711"


def test_linodes_firewall_denies_the_profiler_and_drops_the_rest() -> None:
    firewall = declared("linode")["linode:index/firewall:Firewall"]
    denied = [rule for rule in firewall["inbounds"] if rule["action"] == "DROP"]
    assert [(rule["ports"], rule["ipv4s"], rule["ipv6s"]) for rule in denied] == [("6060", ["0.0.0.0/0"], ["::/0"])]
    assert firewall["inboundPolicy"] == "DROP"


def _inputs(module: str, name: str) -> dict[str, object]:
    """By their names in the engine: the types of what the SDK's class of arguments takes."""
    loaded = importlib.import_module(module)
    made = getattr(loaded, name)
    hints = typing.get_type_hints(made.__init__, {**vars(pulumi.output), **vars(loaded)})
    return {
        getattr(member.fget, "_pulumi_name", None) or key: hints[key]
        for key, member in inspect.getmembers(made, lambda member: isinstance(member, property))
    }


def _open(value: typing.Any) -> typing.Any:
    """What is inside a secret."""
    if isinstance(value, Mapping) and "4dabf18193072939515e22adb298388d" in value:
        inner = value["value"]
        return json.loads(inner) if isinstance(inner, str) and inner[:1] in '[{"' else inner
    if isinstance(value, Mapping):
        return {key: _open(one) for key, one in value.items()}
    return [_open(one) for one in value] if isinstance(value, list) else value


def _fits(value: typing.Any, hint: typing.Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if hint is int:
        return not isinstance(value, bool) and isinstance(value, int | float) and float(value).is_integer()
    if hint in (str, bool):
        return isinstance(value, hint)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return isinstance(value, list) and all(_fits(one, arguments[0]) for one in value)
    if inspect.isclass(hint) and isinstance(value, Mapping) and hint.__name__.endswith("Args"):
        known = _inputs(hint.__module__, hint.__name__)
        return all(key in known and _fits(one, known[key]) for key, one in value.items() if one is not None)
    return False
