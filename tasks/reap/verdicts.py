"""Which of what was found is over, idle, forgotten, or somebody else's. Pure.

Nothing is condemned on a guess: what carries two owners' marks, what an update may be making, and what belongs to a
state that could not be read, stays.
"""

import dataclasses
import datetime as dt
import typing
from collections.abc import Iterable, Mapping, Sequence

from components import naming
from components.settings_reader import parse_duration
from components.vendors import Found
from tasks.reap.states import Known, StackState

Verdict = typing.Literal["kept", "orphan", "recent", "locked", "unknown", "foreign"]
"""kept: a state knows it; recent, locked: an update may be making it; unknown: a state could not be read."""
StackVerdict = typing.Literal["kept", "expired", "idle", "empty", "unknown"]


@dataclasses.dataclass(frozen=True, slots=True)
class Whose:
    """Whose things may be deleted."""

    project: str
    backend_id: str
    unclear: str = ""
    """Why others may have the same marks for stacks that are not to be seen from here: then nobody can say what is
    forgotten."""


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """Something at a vendor, or on this computer, and what is to become of it."""

    cloud: str
    found: Found
    verdict: Verdict
    why: str
    stack: str
    """Name of the stack; as the tag has it where no such stack exists."""
    expires: str
    hourly_usd: float | None
    """None: not in the table of prices."""


@dataclasses.dataclass(frozen=True, slots=True)
class JudgedStack:
    """A stack, and what is to become of it."""

    name: str
    verdict: StackVerdict
    why: str
    machines: int
    expires: str
    """When the last of its machines expires; empty: one never does, or there is none."""
    hourly_usd: float


def expiry(found: Found) -> str:
    """When a machine's time is over by its own tags: RFC 3339, UTC; empty: never, or its tags do not say."""
    ttl = found.value("ttl")
    if found.kind != "machine" or not ttl or not found.created:
        return ""
    try:
        seconds = parse_duration(ttl)
        return _iso(dt.datetime.fromisoformat(found.created) + dt.timedelta(seconds=seconds))
    except (ValueError, OverflowError):
        return ""


def _iso(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds")


def judge(
    cloud: str,
    found: Found,
    whose: Whose,
    states: Sequence[StackState],
    *,
    now: dt.datetime,
    grace_s: float,
) -> tuple[Verdict, str, str]:
    """Say what is to become of something at a vendor: verdict, reason, and the name of its stack."""
    if not found.of(project=whose.project, backend_id=whose.backend_id):
        return "foreign", "", found.value("stack")
    named = [state for state in states if found.values("stack") == {naming.tag_value("stack", state.name)}]
    stack = named[0].name if named else found.value("stack")
    holders = [state for state in states if Known(cloud, found.kind, found.id) in state.known]
    if holders:
        return "kept", "", holders[0].name
    verdict, why = _of_no_state(found, whose, named, states, (now - dt.timedelta(seconds=grace_s)))
    return verdict, why, stack


def _of_no_state(
    found: Found, whose: Whose, named: Sequence[StackState], states: Sequence[StackState], before: dt.datetime
) -> tuple[Verdict, str]:
    """Judge what is ours and in no state that could be read: an orphan was made `before`, and no doubt is left."""
    unread = [state.name for state in states if state.fault]
    doubts: tuple[tuple[bool, Verdict, str], ...] = (
        (bool(unread), "unknown", f"it may be of {', '.join(unread)}, which could not be read"),
        (bool(whose.unclear), "unknown", whose.unclear),
        (len(found.values("stack")) != 1, "unknown", "its tags name no stack, or several"),
        (
            any(state.locked for state in named),
            "locked",
            "an update of its stack is being made, or left its lock (pulumi cancel)",
        ),
        (not found.created, "unknown", "nothing says when it was made"),
    )
    for doubted, verdict, why in doubts:
        if doubted:
            return verdict, why
    if dt.datetime.fromisoformat(found.created) > before:
        return "recent", "made a short while ago: an update may be making it"
    return "orphan", "no state knows it" if named else "no state knows it, and there is no stack of that name"


def judge_stack(
    state: StackState, machines: Iterable[Judged], idle: Mapping[str, str], *, now: dt.datetime
) -> JudgedStack:
    """Say what is to become of a stack, of which `machines` are those at vendors that its state knows.

    A stack goes when the time of all its machines is over, or when all of its nodes are idle: `idle` holds, for each
    stack that is, the sentence that says so. Vendors' tags go before the state's memory.
    """
    mine = [
        one for one in machines if one.stack == state.name and one.verdict == "kept" and one.found.kind == "machine"
    ]
    told = {one.found.id: one.expires for one in mine}
    ends = [*told.values(), *(node.expires for node in state.nodes if node.machine_id not in told)]
    known = {one.id for one in state.known if one.kind == "machine"}
    count = len(known)
    hourly = sum(one.hourly_usd or 0.0 for one in mine)
    last = _iso(max(map(dt.datetime.fromisoformat, ends))) if ends and all(ends) else ""
    verdict: StackVerdict = "kept"
    why = ""
    if state.fault:
        verdict, why = "unknown", state.fault
    elif not count:
        verdict = "empty"
    elif last and dt.datetime.fromisoformat(last) <= now:
        verdict, why = "expired", f"its time was over at {last}"
    elif state.name in idle:
        verdict, why = "idle", idle[state.name]
    else:
        over = sum(bool(end) and dt.datetime.fromisoformat(end) <= now for end in ends)
        why = f"{over} of {len(ends)} machines are over; it goes with the last of them" if over else ""
    return JudgedStack(state.name, verdict, why, count, last, hourly)
