"""Whatever is at the vendors, in whatever order and pages: `gaxx reap` deletes what is ours and forgotten, no more."""

import datetime as dt
import typing
from collections.abc import Iterator

import hypothesis
import hypothesis.strategies as st
import pytest

from components.vendors import KINDS, Kind, linode, vultr
from tasks.reap import accounts as asked
from tasks.reap import removal, survey
from tasks.reap.states import Known, StackState
from tasks.reap.verdicts import Whose
from tasks.rehearsal.faults import Faults, parse
from tests.clouds.accounts import Accounts
from tests.clouds.service import served
from tests.stack.project import ROOT

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(300)]

PROJECT, BACKEND = "gaxx", "0123456789ab"
ROUNDS = 30
TAGS = st.one_of(
    st.sampled_from(
        [
            *(f"gaxx:project={value}" for value in (PROJECT, "gaxx2", "Gaxx")),
            *(f"gaxx:backend={value}" for value in (BACKEND, "ffffffffffff", BACKEND[:-1], BACKEND.upper())),
            *(f"gaxx:stack={value}" for value in ("prod", "gone")),
            "gaxx:fleet=web",
            "gaxx:ttl=1s",
            f"backend={BACKEND}",
            "production",
        ]
    ),
    st.from_regex(r"[a-z:=]{3,20}", fullmatch=True),
)
OURS = [f"gaxx:project={PROJECT}", f"gaxx:backend={BACKEND}", "gaxx:stack=prod"]


class Thing(typing.NamedTuple):
    """What somebody makes at a vendor."""

    cloud: str
    kind: Kind
    tags: list[str]
    known: bool
    """Whether a state of ours knows it."""


def all_things() -> st.SearchStrategy[Thing]:
    places: list[tuple[str, Kind]] = [
        ("linode", "machine"),
        ("vultr", "machine"),
        ("vultr", "firewall"),
        ("vultr", "network"),
    ]
    kinds = st.sampled_from(places)
    tags = st.one_of(
        st.lists(TAGS, max_size=5, unique=True),
        # Nearly ours, or ours and more.
        st.builds(lambda more: sorted({*OURS, *more}), st.lists(TAGS, max_size=2)),
    )
    return st.builds(lambda where, tags, known: Thing(where[0], where[1], tags, known), kinds, tags, st.booleans())


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    # Small pages, and another order at each listing: what is asked for twice may come twice, or not at all.
    monkeypatch.setattr(linode, "_PAGE", 25)
    monkeypatch.setattr(vultr, "_PAGE", 2)
    with served(faults=Faults(parse("disorder=1"), seed=1)) as rehearsal:
        made = Accounts(rehearsal.environment())
        for name, value in made.variables.items():
            monkeypatch.setenv(name, value)
        for number in range(24):
            made.linode("POST", "linode/instances", _linode(f"stranger-{number}", ["gaxx:backend=ffffffffffff"]))
        yield made


def _linode(label: str, tags: list[str]) -> dict[str, object]:
    return {"region": "nl-ams", "type": "g6-nanode-1", "label": label, "tags": tags}


def make(accounts: Accounts, number: int, thing: Thing) -> Known:
    """Make it, and return how it is known."""
    words = " ".join(thing.tags)
    match thing.cloud, thing.kind:
        case "linode", _:
            made = accounts.linode("POST", "linode/instances", _linode(f"web-{number}", thing.tags))
            return Known("linode", "machine", str(made["id"]))
        case _, "machine":
            order = {"region": "ams", "plan": "vc2-1c-1gb", "os_id": 2136, "label": "web-1", "tags": thing.tags}
            return Known("vultr", "machine", accounts.vultr("POST", "instances", order)["instance"]["id"])
        case _, "firewall":
            made = accounts.vultr("POST", "firewalls", {"description": words})["firewall_group"]
            return Known("vultr", "firewall", made["id"])
        case _:
            made = accounts.vultr("POST", "vpcs", {"region": "ams", "description": words})["vpc"]
            return Known("vultr", "network", made["id"])


def is_ours(tags: list[str]) -> bool:
    """Project and backend are ours, and nobody else's beside."""
    whose = {
        key: {tag.split("=", 1)[1] for tag in tags if tag.startswith(f"gaxx:{key}=")}
        for key in ("project", "backend", "stack")
    }
    return whose["project"] == {PROJECT} and whose["backend"] == {BACKEND} and len(whose["stack"]) == 1


def there(accounts: Accounts) -> set[Known]:
    """All that is at the vendors."""
    return {
        *(Known("linode", "machine", str(one["id"])) for one in accounts.linodes()),
        *(Known("vultr", "machine", one["id"]) for one in accounts.vultrs()),
        *(Known("vultr", "firewall", one["id"]) for one in _all(accounts, "firewalls", "firewall_groups")),
        *(Known("vultr", "network", one["id"]) for one in _all(accounts, "vpcs", "vpcs")),
    }


def _all(accounts: Accounts, path: str, key: str) -> list[dict[str, typing.Any]]:
    return list(accounts.vultr("GET", f"{path}?per_page=500")[key])


@hypothesis.settings(
    max_examples=25, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], deadline=None
)
@hypothesis.given(things=st.lists(all_things(), min_size=1, max_size=8), readable=st.booleans())
def test_what_is_somebody_elses_or_known_is_never_deleted(
    accounts: Accounts, things: list[Thing], readable: bool
) -> None:
    strangers = there(accounts)
    made = {make(accounts, number, thing): thing for number, thing in enumerate(things)}
    known = frozenset(one for one, thing in made.items() if thing.known)
    state = StackState(
        "prod", known if readable else frozenset(), (), locked=False, fault="" if readable else "damaged"
    )
    wishes = survey.Wishes(grace_s=-60, ask_nodes=False, this_computer=False)
    whose = Whose(PROJECT, BACKEND)

    stay = {one for one, thing in made.items() if thing.known or not readable or not is_ours(thing.tags)}
    # A list in another order at each page hides something now and then.
    for _ in range(ROUNDS):
        found = survey.judged(
            ROOT, whose, (asked.ask(), (state,), ()), wishes, now=dt.datetime.now(dt.UTC), idle_stacks={}
        )
        done = removal.remove(found, lambda text: None)  # noqa: ARG005 - nobody reads it
        assert {one.outcome for one in done} <= {"deleted", "gone"}
        if not there(accounts) & (made.keys() - stay):
            break

    left = there(accounts)
    assert strangers | stay <= left, "what is not ours, or not forgotten, stays"
    assert not left & (made.keys() - stay), "what is ours and forgotten goes"
    for kind in reversed(KINDS):
        for one in left - strangers:
            if one.kind == kind:
                _delete(accounts, one)


def _delete(accounts: Accounts, one: Known) -> None:
    if one.cloud == "linode":
        accounts.linode("DELETE", f"linode/instances/{one.id}")
    else:
        folder = {"machine": "instances", "firewall": "firewalls", "network": "vpcs"}[one.kind]
        accounts.vultr("DELETE", f"{folder}/{one.id}")
