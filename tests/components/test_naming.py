"""Names that fit every cloud, and tags that can be read back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import naming

FLEETS = st.from_regex(r"[a-z](-?[a-z0-9]){0,11}", fullmatch=True)
INDEXES = st.integers(1, 500)
STACKS = st.text(min_size=1, max_size=100)
HEX = st.from_regex(r"[0-9a-f]{12}", fullmatch=True)


def test_plain_names_stay_as_they_are() -> None:
    assert naming.node_name("demo", 3) == "demo-3"
    assert naming.tls_name("demo-3", "demo") == "demo-3.demo.gaxx"


@given(FLEETS, INDEXES, STACKS)
def test_a_tls_name_is_a_host_name_whatever_the_stack_is_called(fleet: str, index: int, stack: str) -> None:
    name = naming.tls_name(naming.node_name(fleet, index), stack)
    assert len(name) <= 253
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", label) for label in name.split("."))


@pytest.mark.parametrize(("one", "other"), [("Prod", "prod"), ("a_b", "a-b"), ("ü", "ö"), ("x" * 64, "x" * 65)])
def test_stacks_that_differ_have_names_that_differ(one: str, other: str) -> None:
    assert naming.tls_name("demo-1", one) != naming.tls_name("demo-1", other)


@given(STACKS, HEX, STACKS, FLEETS, INDEXES)
def test_labels_fit_linode_which_is_the_strictest(
    project: str, backend: str, stack: str, fleet: str, index: int
) -> None:
    machine = naming.machine_label(project=project, backend_id=backend, stack=stack, fleet=fleet, index=index)
    firewall = naming.firewall_label(project=project, backend_id=backend, stack=stack, fleet=fleet)
    assert 3 <= len(machine) <= 63
    assert 3 <= len(firewall) <= 32
    for label in (machine, firewall):
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", label)


def test_the_same_fleet_of_another_stack_project_or_backend_has_another_label() -> None:
    same = {"project": "gaxx", "backend_id": "0" * 12, "stack": "demo", "fleet": "render"}
    changes: list[dict[str, str]] = [{}, {"project": "x"}, {"backend_id": "1" * 12}, {"stack": "x"}, {"fleet": "x"}]
    assert len({naming.firewall_label(**{**same, **change}) for change in changes}) == 5
    assert len({naming.machine_label(**{**same, **change}, index=1) for change in changes}) == 5


@given(STACKS, HEX, STACKS, FLEETS, INDEXES, st.sampled_from(["", "4h", "1h30m"]), STACKS)
def test_tags_are_sorted_short_and_read_back(
    project: str, backend: str, stack: str, fleet: str, index: int, ttl: str, owner: str
) -> None:
    found = naming.tags(
        project=project, backend_id=backend, stack=stack, fleet=fleet, index=index, ttl=ttl, owner=owner
    )
    assert list(found) == sorted(found)
    assert all(3 <= len(tag) <= 50 for tag in found)
    read = naming.parse_tags([*found, "production", "gaxx:later=1"])
    assert read == naming.Tags(
        project=naming.tag_value("project", project),
        backend_id=backend,
        stack=naming.tag_value("stack", stack),
        fleet=fleet,
        index=index,
        ttl=ttl,
        owner=naming.tag_value("owner", owner),
    )


def test_plain_values_stand_in_tags_as_they_are() -> None:
    found = naming.tags(
        project="gaxx", backend_id="0123456789ab", stack="demo", fleet="render", index=2, ttl="4h", owner="ada@desk"
    )
    assert found == (
        "gaxx:backend=0123456789ab",
        "gaxx:fleet=render",
        "gaxx:index=2",
        "gaxx:owner=ada@desk",
        "gaxx:project=gaxx",
        "gaxx:stack=demo",
        "gaxx:ttl=4h",
    )


@pytest.mark.parametrize("missing", range(7))
def test_a_machine_that_lacks_one_of_our_tags_is_not_ours(missing: int) -> None:
    found = list(naming.tags(project="p", backend_id="b", stack="s", fleet="f", index=1, ttl="", owner=""))
    del found[missing]
    assert naming.parse_tags(found) is None


def test_a_machine_with_a_broken_index_is_not_ours() -> None:
    found = naming.tags(project="p", backend_id="b", stack="s", fleet="f", index=1, ttl="", owner="")
    assert naming.parse_tags([tag.replace("index=1", "index=one") for tag in found]) is None
