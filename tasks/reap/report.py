"""A survey in words and records. Pure."""

import datetime as dt
from collections.abc import Iterator, Sequence

from tasks import words
from tasks.reap.removal import Done
from tasks.reap.survey import Survey
from tasks.reap.verdicts import Judged

STACK_COLUMNS = ("stack", "verdict", "machines", "over at", "$/h", "why")
THING_COLUMNS = ("verdict", "cloud", "what", "name", "stack", "backend", "age", "$/h", "why")
_CODE = 5


def exit_code(found: Survey, done: Sequence[Done]) -> int:
    """5 when something could not be asked, read or removed; else 0."""
    failed = any(one.outcome == "failed" for one in done)
    return _CODE if found.faults or failed else 0


def stack_rows(found: Survey) -> list[tuple[str, ...]]:
    """Cells of STACK_COLUMNS."""
    return [
        (one.name, one.verdict, str(one.machines), one.expires or "-", usd(one.hourly_usd), one.why)
        for one in found.stacks
    ]


def thing_rows(found: Survey) -> list[tuple[str, ...]]:
    """Cells of THING_COLUMNS, of all that no state knows."""
    now = dt.datetime.now(dt.UTC)
    return [
        (
            thing.verdict,
            thing.cloud,
            thing.found.kind,
            thing.found.label or thing.found.id,
            thing.stack or "-",
            thing.found.value("backend") or "-",
            words.duration(max(0.0, (now - dt.datetime.fromisoformat(thing.found.created)).total_seconds()))
            if thing.found.created
            else "-",
            usd(thing.hourly_usd),
            thing.why,
        )
        for thing in _unknown(found)
    ]


def records(found: Survey, done: Sequence[Done]) -> Iterator[dict[str, object]]:
    """One record a stack, one a thing that no state knows, one a thing done, and the sum last."""
    for stack in found.stacks:
        yield {
            "event": "stack", "stack": stack.name, "verdict": stack.verdict, "why": stack.why,
            "machines": stack.machines, "expires": stack.expires, "hourly_usd": round(stack.hourly_usd, 4),
        }  # fmt: skip
    for thing in _unknown(found):
        yield {
            "event": "found", "verdict": thing.verdict, "why": thing.why, "cloud": thing.cloud,
            "kind": thing.found.kind, "id": thing.found.id, "label": thing.found.label, "stack": thing.stack,
            "project": thing.found.value("project"), "backend": thing.found.value("backend"),
            "owner": thing.found.value("owner"), "created": thing.found.created, "expires": thing.expires,
            "hourly_usd": thing.hourly_usd,
        }  # fmt: skip
    for one in done:
        yield {"event": "done", "what": one.what, "outcome": one.outcome, "why": one.why}
    yield {
        "event": "sum", "project": found.whose.project, "backend": found.whose.backend_id,
        "condemned": len(found.condemned), "orphans": len(_orphans(found)),
        "foreign": sum(thing.verdict == "foreign" for thing in _unknown(found)),
        "hourly_usd": round(_hourly(found), 4), "faults": list(found.faults), "notes": list(found.notes),
        "prices_of": found.prices_of, "exit_code": exit_code(found, done),
    }  # fmt: skip


def sentence(found: Survey, done: Sequence[Done] | None) -> str:
    """The sum; `done` is None after a dry run."""
    orphans = len(_orphans(found))
    foreign = sum(thing.verdict == "foreign" for thing in _unknown(found))
    stacks = f"{len(found.condemned)} of {len(found.stacks)} stacks to destroy"
    rest = f", {foreign} of somebody else's left alone" if foreign else ""
    priced = f" ({usd(_hourly(found))}/h, prices of {found.prices_of})" if _hourly(found) else ""
    if done is None:
        hint = "; --yes does it" if orphans or found.condemned else ""
        return f"{stacks}, {orphans} orphans{priced}{rest}{hint}"
    counts = {outcome: sum(one.outcome == outcome for one in done) for outcome in ("destroyed", "deleted", "failed")}
    gone = f"{counts['destroyed']} stacks destroyed, {counts['deleted']} orphans deleted, {counts['failed']} failed"
    return f"{gone}{priced}{rest}"


def usd(amount: float | None) -> str:
    """A price as a cell has it."""
    if amount is None:
        return "?"
    return f"${amount:.4f}".rstrip("0").rstrip(".") if amount else "-"


def _unknown(found: Survey) -> list[Judged]:
    things = [*found.things, *(judged for _, judged in found.lying)]
    return sorted(
        (thing for thing in things if thing.verdict != "kept"),
        key=lambda thing: (thing.verdict, thing.cloud, thing.found.kind, thing.found.label, thing.found.id),
    )


def _orphans(found: Survey) -> list[Judged]:
    return [thing for thing in _unknown(found) if thing.verdict == "orphan"]


def _hourly(found: Survey) -> float:
    """What it costs that nobody wants."""
    stacks = sum(stack.hourly_usd for stack in found.condemned)
    return stacks + sum(thing.hourly_usd or 0.0 for thing in _orphans(found))
