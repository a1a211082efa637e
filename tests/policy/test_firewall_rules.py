"""No machine without a firewall of the same update."""

import dataclasses

import pytest

from policy.declared import UNKNOWN, Declared
from tests.policy.examples import (
    FIREWALL_URN,
    judge,
    judge_stack,
    linode,
    linode_firewall,
    local,
    vultr,
    vultr_group,
)

RULE = "firewall-in-stack"


def alone(resource: Declared, **props: object) -> Declared:
    """The same without what it says about its firewall."""
    kept = {k: v for k, v in resource.props.items() if not k.startswith("firewall")}
    return dataclasses.replace(resource, links={}, props={**kept, **props})


def device(firewall: str = FIREWALL_URN) -> Declared:
    return Declared(
        "linode:index/firewallDevice:FirewallDevice",
        "device",
        {"firewallId": UNKNOWN, "entityId": UNKNOWN},
        links={"firewallId": (firewall,), "entityId": (linode().urn,)},
    )


def firewall_with(machine: Declared, **props: object) -> Declared:
    return dataclasses.replace(linode_firewall(**props), links={"linodes": (machine.urn,)})


@pytest.mark.parametrize(
    "stack",
    [
        [linode(), linode_firewall()],
        [linode(firewallId=4711), linode_firewall()],
        [alone(linode()), linode_firewall(), device()],
        [alone(linode()), firewall_with(linode())],
        [alone(linode(), firewallId=4711), linode_firewall(id="4711")],
        [vultr(), vultr_group()],
        [local()],
    ],
)
def test_a_machine_behind_a_firewall_of_the_stack_is_accepted(stack: list[Declared]) -> None:
    assert judge_stack(RULE, stack) == []


@pytest.mark.parametrize(
    "stack",
    [
        [alone(linode()), linode_firewall()],
        [alone(linode(), firewallId=4711), linode_firewall()],
        [linode()],
        [alone(linode()), linode_firewall(), device("urn:pulumi:render::gaxx::other")],
        [alone(linode()), firewall_with(linode(), disabled=True)],
        [alone(linode(), firewallId=UNKNOWN), linode_firewall(id=UNKNOWN)],
        [alone(vultr()), vultr_group()],
        [alone(vultr(), firewallGroupId="c3df8e80"), vultr_group()],
        [vultr()],
        [linode(), linode_firewall(), alone(vultr())],
    ],
)
def test_a_machine_behind_none_is_refused_by_name(stack: list[Declared]) -> None:
    (text,) = judge_stack(RULE, stack)

    assert "render-1" in text


def test_a_vultr_instance_names_its_group_in_its_creating_call() -> None:
    assert judge("firewall-named", vultr()) == [], "one that is made in the same update is not known yet"
    assert judge("firewall-named", alone(vultr()))
    assert judge("firewall-named", vultr(firewallGroupId=""))
