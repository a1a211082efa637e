"""Node selection over the groups of an inventory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import GaxxError
from components.inventory import Inventory, Node
from tasks.selection import UnknownNodeError, fold_names, groups_of, select


def node(fleet: str, index: int, *groups: str) -> Node:
    return Node(
        name=f"{fleet}-{index}", fleet=fleet, index=index, cloud="local", region="", type="", image="", machine_id="",
        address="127.0.0.1", reach="direct", ssh_host="127.0.0.1", ssh_port=22, ssh_user="x", ssh_host_keys=(),
        agent_port=1, metrics_port=2, tls_name="", slots=1, groups=groups, created="", expires="", agent_build="",
    )  # fmt: skip


INVENTORY = Inventory(
    project="gaxx",
    stack="demo",
    backend_id="",
    authority_certificate="",
    nodes=(node("web", 10), node("web", 2, "gpu"), node("web", 1), node("db", 1, "gpu")),
    principals=(),
    missing=("web-3",),
)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("", ["db-1", "web-1", "web-2", "web-10"]),
        ("web-[1-2]", ["web-1", "web-2"]),
        ("@web", ["web-1", "web-2", "web-10"]),
        ("@gpu", ["db-1", "web-2"]),
        ("@web!web-10", ["web-1", "web-2"]),
        ("@web&@gpu", ["web-2"]),
        ("@web^@gpu", ["db-1", "web-1", "web-10"]),
        ("@*", ["db-1", "web-1", "web-2", "web-10"]),
    ],
)
def test_expressions_select_nodes_in_the_order_of_fleet_and_index(expression: str, expected: list[str]) -> None:
    assert [chosen.name for chosen in select(INVENTORY, expression)] == expected


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("web-99", "web-99: not a node of stack demo"),
        ("web-3", "web-3: declared, but not enrolled"),
        ("@nope", "no group @nope in stack demo"),
        ("web-1,@nope", "no group @nope"),
        ("@web!@web", "selects no node"),
        ("web-[1", "web-[1"),
    ],
)
def test_what_cannot_be_selected_is_named_with_what_can(expression: str, words: str) -> None:
    with pytest.raises(GaxxError) as caught:
        select(INVENTORY, expression)
    assert words in str(caught.value)
    assert "@gpu" in str(caught.value)


def test_unknown_nodes_are_an_error_of_their_own_since_the_cache_may_be_old() -> None:
    with pytest.raises(UnknownNodeError):
        select(INVENTORY, "web-99")


def test_fleets_and_declared_groups_are_groups() -> None:
    assert groups_of(INVENTORY) == {
        "web": ("web-10", "web-2", "web-1"),
        "gpu": ("web-2", "db-1"),
        "db": ("db-1",),
    }


def test_names_are_folded_as_node_sets() -> None:
    assert fold_names(["web-2", "web-1", "db-1", "web-10"]) == "db-1,web-[1-2,10]"


@given(
    st.sets(st.tuples(st.sampled_from(["web-", "db-", "a1b-"]), st.integers(min_value=1, max_value=120)), min_size=1)
)
def test_folding_writes_what_clustershell_writes(names: set[tuple[str, int]]) -> None:
    from ClusterShell.NodeSet import NodeSet

    listed = [f"{prefix}{number}" for prefix, number in names]
    assert set(NodeSet(fold_names(listed))) == set(listed)
    assert fold_names(listed) == str(NodeSet.fromlist(listed))


@pytest.mark.parametrize("names", [["n01", "n02"], ["plain"], ["a-1-2", "a-1-3"], ["0", "1"], ["n-0"]])
def test_names_that_are_not_prefix_and_number_are_left_to_clustershell(names: list[str]) -> None:
    from ClusterShell.NodeSet import NodeSet

    assert set(NodeSet(fold_names(names))) == set(names)
