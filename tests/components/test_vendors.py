"""What is asked of the vendors' APIs by ourselves: only our own is found, and no token travels in the clear."""

import hypothesis
import hypothesis.strategies as st
import pytest

from components import naming, rehearsal, vendors
from components.errors import Refused
from components.vendors import Found, linode
from components.vendors.found import utc, words

WORDS = st.sampled_from(["gaxx", "other", "prod", "demo", "0123456789ab", "ffffffffffff", ""])


@hypothesis.given(mine=st.tuples(WORDS, WORDS, WORDS), theirs=st.tuples(WORDS, WORDS, WORDS))
def test_only_what_carries_project_backend_and_stack_is_ours(
    mine: tuple[str, str, str], theirs: tuple[str, str, str]
) -> None:
    project, backend, stack = theirs
    tags = naming.tags(project=project, backend_id=backend, stack=stack, fleet="web", index=1, ttl="1h", owner="ada")
    found = Found("machine", "1", "x", tags, "")
    assert found.of(project=mine[0], backend_id=mine[1], stack=mine[2]) == (mine == theirs)


@hypothesis.given(st.sets(st.sampled_from(["gaxx:project=gaxx", "gaxx:backend=b", "gaxx:stack=prod"]), max_size=2))
def test_what_carries_only_some_of_the_marks_is_nobodys(tags: set[str]) -> None:
    found = Found("machine", "1", "x", tuple(tags), "")
    assert not found.of(project="gaxx", backend_id="b", stack="prod")


@hypothesis.given(
    owners=st.lists(st.tuples(st.sampled_from(["project", "backend", "stack"]), WORDS), max_size=8),
    more=st.lists(st.text(max_size=20), max_size=3),
)
def test_what_carries_the_marks_of_two_owners_is_nobodys(owners: list[tuple[str, str]], more: list[str]) -> None:
    found = Found("machine", "1", "x", tuple(f"gaxx:{key}={value}" for key, value in owners) + tuple(more), "")
    values: dict[str, set[str]] = {"project": set(), "backend": set(), "stack": set()}
    for key, value in owners:
        values[key].add(value)
    ours = values["project"] == {"gaxx"} and values["backend"] == {"0123456789ab"}
    assert found.of(project="gaxx", backend_id="0123456789ab") == ours


def test_marks_stand_in_free_text_where_a_vendor_has_no_tags() -> None:
    tags = naming.fleet_tags(project="gaxx", backend_id="0123456789ab", stack="prod", fleet="web")
    found = Found("network", "1", "x", words("made for the tests", " ".join(tags), None), "")
    assert found.tags == tags
    assert found.of(project="gaxx", backend_id="0123456789ab", stack="prod")


def test_without_a_token_nothing_is_asked() -> None:
    assert vendors.vendor("linode") is None
    assert vendors.vendor("vultr") is None


@pytest.mark.parametrize("url", ["http://api.example.org", "http://10.0.0.1:80", "ftp://127.0.0.1", "http://localhost"])
def test_a_token_does_not_travel_in_the_clear(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINODE_TOKEN", "0" * 64)
    monkeypatch.setenv("LINODE_URL", url)
    with pytest.raises(Refused, match="in the clear") as refused:
        vendors.vendor("linode")
    assert "0" * 64 not in str(refused.value)


def test_a_rehearsal_is_believed_only_of_machines_on_this_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rehearsal.access("1", "203.0.113.5") is None
    monkeypatch.setenv("GAXX_REHEARSAL", "/tmp/nodes")
    with pytest.raises(Refused, match="not this computer"):
        rehearsal.access("1", "203.0.113.5")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-11-22T09:17:03", "2026-11-22T09:17:03+00:00"),
        ("2026-11-22T10:17:03+01:00", "2026-11-22T09:17:03+00:00"),
    ],
)
def test_times_are_utc_whatever_the_vendor_says(written: str, read: str) -> None:
    assert utc(written) == read


@pytest.mark.parametrize(
    ("scopes", "lacking"),
    [
        (("*",), ()),
        ((), ()),
        (("linodes:read_write", "firewall:read_write", "vpc:read_write", "events:read_only"), ()),
        (("linodes:read_write", "firewall:read_write", "vpc:read_write", "events:read_write"), ()),
        (("linodes:read_only", "firewall:read_write", "vpc:read_write", "events:read_only"), ("linodes:read_write",)),
        (("linodes:read_write",), ("firewall:read_write", "vpc:read_write", "events:read_only")),
    ],
)
def test_what_a_token_of_linode_lacks_is_named(scopes: tuple[str, ...], lacking: tuple[str, ...]) -> None:
    assert linode._lacking(scopes) == lacking
