"""How many nodes, and how many dollars an hour."""

import dataclasses

import pytest

from policy.declared import UNKNOWN, Declared
from policy.price_table import price_table
from tests.policy.examples import FLEET_URN, fleet, judge_stack, linode, local, vultr


def several(resource: Declared, count: int, parent: str = "") -> list[Declared]:
    return [
        dataclasses.replace(resource, name=f"render-{index}", urn=f"{resource.urn}-{index}", parent=parent)
        for index in range(count)
    ]


@pytest.mark.parametrize("machine", [linode(), vultr(), local()], ids=lambda r: r.type)
def test_one_node_too_many_is_refused_and_told_once(machine: Declared) -> None:
    assert judge_stack("node-budget", several(machine, 3), nodes=3) == []
    assert judge_stack("node-budget", several(machine, 4), nodes=3) == ["4 nodes, and 3 is the limit of a stack"]


def test_a_fleet_is_refused_before_any_of_its_machines() -> None:
    assert judge_stack("node-budget", [fleet(nodes=4)], nodes=3) == ["4 nodes, and 3 is the limit of a stack"]


def test_the_machines_of_a_fleet_are_not_counted_twice() -> None:
    stack = [fleet(nodes=3), *several(linode(), 3, FLEET_URN)]

    assert judge_stack("node-budget", stack, nodes=3) == []


def test_a_fleet_that_makes_more_than_it_says_is_refused() -> None:
    stack = [fleet(nodes=1), *several(linode(), 3, FLEET_URN)]

    assert judge_stack("node-budget", stack, nodes=2) == ["3 nodes, and 2 is the limit of a stack"]


def test_fleets_are_added_up() -> None:
    other = dataclasses.replace(fleet(nodes=2), urn=f"{FLEET_URN}-other")

    assert judge_stack("node-budget", [fleet(nodes=2), other], nodes=4) == []
    assert judge_stack("node-budget", [fleet(nodes=2), other], nodes=3)


@pytest.mark.parametrize(
    "resource",
    [
        fleet(nodes=UNKNOWN),
        fleet(type=UNKNOWN),
        fleet(regions=[UNKNOWN]),
        linode(type=UNKNOWN),
        vultr(plan=UNKNOWN),
        linode(region=UNKNOWN),
    ],
)
@pytest.mark.parametrize("rule", ["node-budget", "hourly-budget"])
def test_what_is_not_known_at_preview_is_refused(rule: str, resource: Declared) -> None:
    assert judge_stack(rule, [resource])


@pytest.mark.parametrize(("machine", "usd"), [(linode(), 0.072), (vultr(), 0.06)])
def test_a_stack_that_costs_more_than_its_budget_is_refused(machine: Declared, usd: float) -> None:
    assert judge_stack("hourly-budget", several(machine, 2), usd=usd) == []
    (text,) = judge_stack("hourly-budget", several(machine, 2), usd=usd - 0.001)

    assert f"${usd:.3f}/h" in text


@pytest.mark.parametrize("cloud", ["linode", "vultr"])
def test_a_fleet_costs_before_its_machines_are_declared(cloud: str) -> None:
    assert judge_stack("hourly-budget", [fleet(cloud, nodes=300)], usd=1)


def test_local_nodes_cost_nothing() -> None:
    assert judge_stack("hourly-budget", [fleet("local", nodes=250), *several(local(), 250, FLEET_URN)], usd=0) == []


def test_a_fleet_that_says_local_and_makes_paid_machines_is_judged_by_these() -> None:
    assert judge_stack("hourly-budget", [fleet("local", nodes=3), *several(linode(), 3, FLEET_URN)], usd=0.1)


@pytest.mark.parametrize(
    "resource", [linode(type="g9-huge-1"), vultr(plan="vx9-64c"), fleet(type="g9-huge-1"), linode(type=None)]
)
def test_a_type_without_a_price_is_refused(resource: Declared) -> None:
    (text,) = judge_stack("hourly-budget", [resource])

    assert price_table().date in text


def test_a_dear_region_costs_more() -> None:
    assert judge_stack("hourly-budget", [linode()], usd=0.04) == []
    assert judge_stack("hourly-budget", [linode(region="br-gru")], usd=0.04)
    assert judge_stack("hourly-budget", [fleet(nodes=1, regions=["nl-ams", "br-gru"])], usd=0.04)


def test_the_table_of_prices_holds_positive_prices_and_no_region_that_is_cheaper() -> None:
    table = price_table()

    assert all(price > 0 for types in table.types.values() for price in types.values())
    assert all(factor > 1 for regions in table.regions.values() for factor in regions.values())
