"""Each rule, on each cloud that it applies to: one stack that it refuses, and one that is nearly that and passes."""

import base64
import dataclasses

import pytest

from policy.declared import UNKNOWN, Declared
from policy.rulebook import RULES
from tests.policy.examples import (
    MINIMAL_USER_DATA,
    TAGS,
    encoded,
    enrolment,
    fleet,
    gaxx_firewall,
    judge_stack,
    linode,
    linode_firewall,
    linode_rule,
    local,
    vultr,
    vultr_group,
    vultr_rule,
)

CLOUDS = ("linode", "vultr", "local")
Stack = list[Declared]


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """What is refused, and its near miss."""

    refused: Stack
    accepted: Stack
    settings: dict[str, object] = dataclasses.field(default_factory=dict)


def one(refused: Declared, accepted: Declared, **settings: object) -> Pair:
    return Pair([refused], [accepted], settings)


def ports(bad: tuple[str, str], good: tuple[str, str]) -> dict[str, Pair]:
    """The same two openings on every cloud; a range of ports where the cloud has them."""
    return {
        "linode": one(linode_firewall(linode_rule(*bad)), linode_firewall(linode_rule(*good))),
        "vultr": one(vultr_rule(*bad), vultr_rule(*good)),
        "local": one(
            gaxx_firewall(f"accept tcp {bad[0].split('-')[-1]} from {bad[1]}"),
            gaxx_firewall(f"accept tcp {good[0].split('-')[-1]} from {good[1]}"),
        ),
    }


def user_data(bad: str, good: str) -> dict[str, Pair]:
    return {
        "linode": one(linode(metadatas=encoded(bad)), linode(metadatas=encoded(good))),
        "vultr": one(vultr(userData=bad), vultr(userData=good)),
        "local": one(local(userData=bad), local(userData=good)),
    }


def tags(bad: list[str], good: list[str]) -> dict[str, Pair]:
    return {
        "linode": one(linode(tags=bad), linode(tags=good)),
        "vultr": one(vultr(tags=bad), vultr(tags=good)),
        "local": one(local(tags=bad), local(tags=good)),
    }


def with_file(content: str) -> str:
    held = base64.b64encode(content.encode()).decode()
    return f"{MINIMAL_USER_DATA}write_files:\n- path: /srv/x\n  encoding: b64\n  content: {held}\n"


def behind(machine: Declared, *others: Declared) -> Stack:
    return [machine, *others]


def copies(machine: Declared, count: int) -> Stack:
    return [dataclasses.replace(machine, urn=f"{machine.urn}-{number}") for number in range(count)]


WITHOUT_TTL = [tag for tag in TAGS if "ttl" not in tag]
TOKEN = "ghp_" + "Zz9" * 12

TABLE: dict[str, dict[str, Pair]] = {
    "profiler-port-closed": ports(("6000-6060", "10.0.0.0/8"), ("6000-6059", "10.0.0.0/8")),
    "agent-ports-trusted-only": ports(("8080-8088", "172.16.0.0/11"), ("8080-8088", "172.16.0.0/12")),
    "ssh-not-world-open": ports(("22", "128.0.0.0/1"), ("22", "128.1.0.0/16")),
    "inbound-default-drop": {
        "linode": one(linode_firewall(inboundPolicy="ACCEPT"), linode_firewall(outboundPolicy="ACCEPT")),
    },
    "firewall-named": {"vultr": one(vultr(firewallGroupId=None), vultr(firewallGroupId="abc"))},
    "firewall-in-stack": {
        "linode": Pair(behind(linode(firewallId=17)), behind(linode(), linode_firewall())),
        "vultr": Pair(behind(vultr(firewallGroupId="other")), behind(vultr(), vultr_group())),
    },
    "user-data-hardened": user_data(
        MINIMAL_USER_DATA.replace("ssh_pwauth: false", "ssh_pwauth: true"),
        MINIMAL_USER_DATA + "# ssh_pwauth: true\n",
    ),
    "no-credentials": user_data(with_file(f"key: {TOKEN}\n"), with_file("key: ghp_is_how_they_start\n")),
    "mtls-required": user_data(
        with_file("GAXX_AGENT_REQUIRE_MTLS=false\n"), with_file("GAXX_AGENT_REQUIRE_MTLS=true\n")
    ),
    "user-data-judged-later": {
        "linode": one(linode(metadatas=[{"userData": UNKNOWN}]), linode()),
        "vultr": one(vultr(userData=UNKNOWN), vultr()),
        "local": one(local(userData=UNKNOWN), local()),
    },
    "ttl-limited": tags([*WITHOUT_TTL, "gaxx:ttl=7d1s"], [*WITHOUT_TTL, "gaxx:ttl=7d"]),
    "tags-required": tags(
        [tag for tag in TAGS if "owner" not in tag],
        ["team=blue", *TAGS],
    ),
    "image-pinned": {
        "linode": one(linode(image="linode/debian-latest"), linode(image="linode/debian12")),
        "vultr": one(vultr(osId=None, appId=7), vultr(osId=2136)),
        "local": one(local(image="debian"), local(image="debian-12")),
    },
    "region-allowed": {
        "linode": one(linode(region="us-east"), linode(region="nl-ams"), regions=["nl-ams"]),
        "vultr": one(vultr(region="ewr"), vultr(region="ams"), regions=["ams"]),
    },
    "disk-encrypted": {"linode": one(linode(diskEncryption="disabled"), linode(diskEncryption=None))},
    "no-root-password": {"linode": one(linode(rootPass="x"), linode(rootPass=None))},
    "nothing-protected": {
        cloud: one(dataclasses.replace(machine, protected=True), machine)
        for cloud, machine in (("linode", linode()), ("vultr", vultr()), ("local", local()))
    },
    "machines-judged": {
        "linode": one(Declared("linode:index/lkeCluster:LkeCluster", "k", {}), linode()),
        "vultr": one(Declared("vultr:index/bareMetalServer:BareMetalServer", "b", {}), vultr()),
    },
    "node-budget": {
        "linode": Pair([fleet(nodes=5)], [fleet(nodes=4)], {"nodes": 4}),
        "vultr": Pair(copies(vultr(), 5), copies(vultr(), 4), {"nodes": 4}),
        "local": Pair([fleet("local", 5)], [fleet("local", 4)], {"nodes": 4}),
    },
    "hourly-budget": {
        "linode": Pair(copies(linode(), 3), copies(linode(), 2), {"usd": 0.072}),
        "vultr": Pair(copies(vultr(), 3), copies(vultr(), 2), {"usd": 0.06}),
    },
}
NOT_THERE = {
    ("inbound-default-drop", "vultr"): "a group always drops what it does not accept",
    ("inbound-default-drop", "local"): "nothing but loopback reaches a local node",
    ("firewall-named", "linode"): "a firewall may also be attached from its own side: firewall-in-stack",
    ("firewall-named", "local"): "the node's own ruleset is part of its enrolment",
    ("firewall-in-stack", "local"): "as above",
    ("region-allowed", "local"): "it is this computer",
    ("disk-encrypted", "vultr"): "the vendor offers no choice",
    ("disk-encrypted", "local"): "it is this computer's disk",
    ("no-root-password", "vultr"): "an instance takes none",
    ("no-root-password", "local"): "there is no root",
    ("machines-judged", "local"): "there are no other machines",
    ("hourly-budget", "local"): "it costs nothing",
}
CASES = [(rule, cloud, pair) for rule, pairs in TABLE.items() for cloud, pair in pairs.items()]


def against(rule: str, stack: Stack, settings: dict[str, object]) -> list[str]:
    found = next(entry for entry in RULES if entry.name == rule)
    if found.one is not None:
        return [text for resource in stack for text in found.one(resource, found.settings(settings))]
    return judge_stack(rule, stack, **settings)


@pytest.mark.parametrize(("rule", "cloud", "pair"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_the_breach_is_refused_and_its_near_miss_accepted(rule: str, cloud: str, pair: Pair) -> None:
    assert against(rule, pair.refused, pair.settings), f"{rule} refuses it on {cloud}"
    assert against(rule, pair.accepted, pair.settings) == []


def test_no_rule_and_no_cloud_is_left_out_without_a_reason() -> None:
    told = {(rule, cloud) for rule, cloud, _ in CASES} | NOT_THERE.keys()

    assert told == {(rule.name, cloud) for rule in RULES for cloud in CLOUDS}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_what_a_fleet_declares_passes_all_of_them(cloud: str) -> None:
    stacks = {
        "linode": [linode(), linode_firewall(), enrolment()],
        "vultr": [vultr(), vultr_group(), vultr_rule("22", "203.0.113.7/32"), enrolment()],
        "local": [local(), gaxx_firewall("accept tcp 2222 from 127.0.0.0/8"), enrolment()],
    }
    for rule in RULES:
        assert against(rule.name, stacks[cloud], {}) == [], rule.name
