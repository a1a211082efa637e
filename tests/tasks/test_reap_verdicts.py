"""What is to become of what was found: nothing is condemned while there is a doubt."""

import datetime as dt

import hypothesis
import hypothesis.strategies as st
import pytest

from components import naming
from components.vendors import Found
from tasks.reap import states, verdicts
from tasks.reap.states import Known, Node, StackState
from tasks.reap.verdicts import Whose

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)
MINE = Whose("gaxx", "0123456789ab")
HOUR_S = 3600.0


def machine(number: str = "1", *, hours: float = 2, stack: str = "prod", ttl: str = "4h", **whose: str) -> Found:
    """A machine that was made so many hours ago."""
    marks = {"project": MINE.project, "backend_id": MINE.backend_id, **whose}
    tags = naming.tags(**marks, stack=stack, fleet="web", index=1, ttl=ttl, owner="ada")
    return Found("machine", number, f"web-{number}", tags, (NOW - dt.timedelta(hours=hours)).isoformat(), type="small")


def state(*numbers: str, name: str = "prod", locked: bool = False, fault: str = "") -> StackState:
    """A stack that knows these machines."""
    return StackState(name, frozenset(Known("linode", "machine", one) for one in numbers), (), locked, fault)


def verdict(found: Found, *known: StackState, whose: Whose = MINE, grace_s: float = HOUR_S) -> str:
    return verdicts.judge("linode", found, whose, known, now=NOW, grace_s=grace_s)[0]


@pytest.mark.parametrize(
    ("found", "known", "whose", "wanted"),
    [
        (machine(), state("1"), MINE, "kept"),
        (machine(), state("1", name="renamed"), MINE, "kept"),
        (machine(), state("2"), MINE, "orphan"),
        (machine(stack="gone"), state("2"), MINE, "orphan"),
        (machine(hours=0.9), state(), MINE, "recent"),
        (machine(hours=-5), state(), MINE, "recent"),
        (machine(), state(locked=True), MINE, "locked"),
        (machine(), state(name="other", fault="it is damaged"), MINE, "unknown"),
        (machine(), state(), Whose("gaxx", "0123456789ab", unclear="somebody else's may be alike"), "unknown"),
        (machine(backend_id="ffffffffffff"), state(), MINE, "foreign"),
        (machine(project="other"), state("1"), MINE, "foreign"),
    ],
)
def test_only_what_is_ours_old_enough_and_in_no_state_that_was_read_is_an_orphan(
    found: Found, known: StackState, whose: Whose, wanted: str
) -> None:
    assert verdict(found, known, whose=whose) == wanted


def test_a_machine_and_a_firewall_with_the_same_number_are_two_things() -> None:
    same = Found("firewall", "1", "web", machine().tags, machine().created)
    assert verdict(same, state("1")) == "orphan"


def test_what_names_no_stack_or_two_or_no_time_is_left() -> None:
    found = machine()
    without = tuple(tag for tag in found.tags if not tag.startswith("gaxx:stack="))
    for tags in (without, (*found.tags, "gaxx:stack=other")):
        assert verdict(Found("machine", "1", "x", tags, found.created), state()) == "unknown"
    assert verdict(Found("machine", "1", "x", found.tags, ""), state()) == "unknown"


@hypothesis.given(
    hours=st.floats(-10, 100), grace_s=st.floats(0, 10 * HOUR_S), locked=st.booleans(), unread=st.booleans()
)
def test_an_orphan_is_always_older_than_the_grace(hours: float, grace_s: float, locked: bool, unread: bool) -> None:
    known = (state("2", locked=locked), state(name="other", fault="damaged" if unread else ""))
    if verdict(machine(hours=hours), *known, grace_s=grace_s) == "orphan":
        assert hours * HOUR_S >= grace_s - 1
        assert not locked
        assert not unread


@pytest.mark.parametrize(
    ("ttl", "end"),
    [
        ("4h", (NOW + dt.timedelta(hours=2)).isoformat()),
        ("1s", (NOW - dt.timedelta(hours=2) + dt.timedelta(seconds=1)).isoformat()),
        ("", ""),
        ("soon", ""),
    ],
)
def test_a_machine_expires_by_its_own_tag(ttl: str, end: str) -> None:
    assert verdicts.expiry(machine(ttl=ttl)) == end


def stack(*machines: Found, nodes: tuple[Node, ...] = (), idle: str = "") -> verdicts.JudgedStack:
    known = {Known("linode", "machine", one.id) for one in machines}
    known |= {Known("local", "machine", node.machine_id) for node in nodes}
    things = [verdicts.Judged("linode", one, "kept", "", "prod", verdicts.expiry(one), 0.036) for one in machines]
    judged = StackState("prod", frozenset(known), nodes, locked=False)
    return verdicts.judge_stack(judged, things, {"prod": idle} if idle else {}, now=NOW)


def local(name: str, expires: str) -> Node:
    return Node(name, f"id-of-{name}", expires, 0)


def test_a_stack_goes_with_the_last_of_its_machines() -> None:
    over, not_over, never = machine("1", ttl="1h"), machine("2", ttl="3h"), machine("3", ttl="")
    assert stack(over).verdict == "expired"
    assert stack(over, machine("4", ttl="2h")).verdict == "expired"
    some = stack(over, not_over)
    assert (some.verdict, some.why) == ("kept", "1 of 2 machines are over; it goes with the last of them")
    assert some.hourly_usd == pytest.approx(0.072)
    assert stack(over, never).verdict == "kept"
    assert stack().verdict == "empty"
    assert stack(over, nodes=(local("a", "2026-11-22T11:00:00Z"),)).verdict == "expired"
    assert stack(over, nodes=(local("a", "2026-11-22T13:00:00+00:00"),)).verdict == "kept"
    assert stack(not_over, idle="all 1 nodes are idle for 2h").verdict == "idle"


def test_a_vendors_tag_goes_before_what_the_state_remembers() -> None:
    extended = machine("1", ttl="9h")
    remembered = Node("web-1", "1", "2026-11-22T11:00:00Z", 0)
    assert stack(extended, nodes=(remembered,)).verdict == "kept"


def test_a_state_knows_what_is_being_made_or_still_to_be_deleted() -> None:
    instance = "linode:index/instance:Instance"
    found = states.of_deployment(
        "prod",
        {
            "resources": [
                {"type": instance, "id": "1"},
                {"type": instance, "id": "2", "delete": True},
                {"type": "vultr:index/sSHKey:SSHKey", "id": "k"},
                {"type": "gaxx:index:LocalNode", "id": "n"},
                {"type": "gaxx:index:Enrolment", "id": "x", "inputs": {"node": "web-1", "machineId": "1", "idleS": 60},
                 "outputs": {"expires": "2026-11-22T13:00:00Z"}},
                {"type": "random:index/pet:Pet", "id": "p"},
            ],
            "pending_operations": [
                {"resource": {"type": instance, "id": "3"}, "type": "deleting"},
                {"resource": {"type": instance}, "type": "creating"},
            ],
        },
        locked=False,
    )  # fmt: skip
    assert found.known == {
        Known("linode", "machine", "1"),
        Known("linode", "machine", "2"),
        Known("linode", "machine", "3"),
        Known("vultr", "key", "k"),
        Known("local", "machine", "n"),
    }
    assert found.nodes == (Node("web-1", "1", "2026-11-22T13:00:00Z", 60),)
    assert states.of_deployment("new", {}, locked=False).known == set()
