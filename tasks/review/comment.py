"""The model as a page: summary, what changes, who reaches what, cost, rules, what nobody has judged yet."""

from collections.abc import Iterable, Sequence

from tasks.review.comparison import Finding, FleetRow, Group, Model
from tasks.review.exposure import Opening
from tasks.review.lost import Lost
from tasks.review.page import Block, Fold, Heading, Lines, Table, Text, prose, text
from tasks.selection import fold_names

_OP_WORDS = {"create": "create", "replace": "replace", "delete": "delete", "update": "change in place"}
_MARKS = {"added": "+", "removed": "-", "kept": ""}
_KEPT_ROWS = 6
"""So many openings that stay are shown unfolded."""
_MODES = {
    "state": "what the engine would do to the stack as it stands",
    "declared": "what base and head declare, by the engine's preview of both; the stack's own state was not asked",
    "static": "what the stack files say; no code of the head was run, and what its code declares was not judged",
    "absent": "the base alone: the head has no such stack",
}


def marker(stack: str) -> str:
    """The line by which a comment is found again."""
    return f"<!-- gaxx review: {stack} -->"


def page(model: Model) -> list[Block]:
    """Everything that a reviewer is to read, the most important first."""
    blocks: list[Block] = [Heading(f"Review of stack `{model.stack}`: {summary(model)}", level=2)]
    blocks += _faults(model)
    blocks += _rules(model.findings)
    if not model.faults and not model.failure:
        blocks += [*_changes(model), *_exposure(model.exposure), *_cost(model)]
    blocks += _lost(model.lost)
    blocks += _later(model)
    blocks += _notes(model)
    shown = "Nothing was previewed" if model.faults else f"Shown is {_MODES[model.mode]}"
    where = f"`{model.base}` → `{model.head}`, rules of `{model.base}`. {shown}."
    blocks.append(Lines((text(where), *_not_looked(model.lost)), bullets=False))
    return blocks


def summary(model: Model) -> str:
    """One line: the verdict, and the four things that a reviewer asks first."""
    if model.faults:
        count = len(model.faults)
        return f"**refused**, the stack file has {count} fault{'s' if count > 1 else ''}"
    mandatory = dict.fromkeys(finding.rule for finding in model.findings if finding.level == "mandatory")
    parts = [f"**refused** by {', '.join(f'`{rule}`' for rule in mandatory)}"] if mandatory else []
    if model.failure:
        return " and ".join([*parts, "**the preview failed**"])
    old, new = (sum(row.nodes[side] for row in model.fleets) for side in (0, 1))
    parts.append(f"{_arrow(str(old), str(new))} nodes")
    counts = {op: sum(row.counts[op] for row in model.fleets) for op in ("create", "replace", "delete", "update")}
    words = {"create": "new", "replace": "replaced", "delete": "deleted", "update": "changed in place"}
    parts += [f"{count} {words[op]}" for op, count in counts.items() if count]
    opened = sum(opening.state == "added" for opening in model.exposure)
    closed = sum(opening.state == "removed" for opening in model.exposure)
    parts.append(
        " and ".join([f"{opened} opened"] * bool(opened) + [f"{closed} closed"] * bool(closed)) or "nothing opened"
    )
    before, after = (sum(row.hourly_usd[side] for row in model.fleets) for side in (0, 1))
    parts.append(f"{_arrow(_usd(before), _usd(after))}/h")
    if not mandatory:
        parts.append("no rule broken")
    return ", ".join(parts)


def _faults(model: Model) -> Iterable[Block]:
    if model.faults:
        yield Heading("Refused before any rule was asked")
        yield Table(
            ("where", "key", "what is wrong"),
            tuple((text((f"{f.file}:{f.line}",)), text((f.key,)), prose(f.text)) for f in model.faults),
        )
    if model.failure:
        yield Heading("The preview failed")
        yield Lines(tuple(text((line,)) for line in model.failure.splitlines() if line.strip()))


def _rules(findings: Sequence[Finding]) -> Iterable[Block]:
    if not findings:
        return
    yield Heading("Rules that are broken")
    yield Table(
        ("rule", "level", "what", "where", "fix"),
        tuple(
            (text((f.rule,)), text(f.level, strong=f.level == "mandatory"), prose(f.text), _names(f.where),
             prose(f.fix))
            for f in findings
        ),
    )  # fmt: skip


def _changes(model: Model) -> Iterable[Block]:
    yield Heading("What changes")
    if not model.fleets:
        yield Lines((text("The stack declares no machines."),), bullets=False)
        return
    header = ("fleet", "cloud", "nodes", "create", "replace", "delete", "in place", "type", "image", "regions", "TTL")
    yield Table(header, tuple(_fleet(row) for row in model.fleets))
    if not model.groups:
        yield Lines((text("Nothing is done to any machine."),), bullets=False)
        return
    lines = tuple(_group(group) for group in model.groups)
    # Three hundred machines of one fleet are one line; only many different reasons are worth a fold.
    limit = 12
    yield Lines(lines) if len(lines) <= limit else Fold(f"What is done to which node ({len(lines)})", (Lines(lines),))
    if model.minutes:
        yield Lines((text(f"An update takes about {model.minutes} min."),), bullets=False)


def _fleet(row: FleetRow) -> tuple[Text, ...]:
    counts = (text(str(row.counts[op] or ""), strong=op in ("replace", "delete")) for op in
              ("create", "replace", "delete", "update"))  # fmt: skip
    return (
        text((row.name,)) if row.name else text("(none)"),
        _two(row.cloud),
        text(_arrow(*map(str, row.nodes))),
        *counts,
        *(_two(pair) for pair in (row.type, row.image, row.regions)),
        _two((row.ttl[0] or "none", row.ttl[1] or "none"), gone=not row.nodes[0], come=not row.nodes[1]),
    )


def _two(pair: tuple[str, str], *, gone: bool = False, come: bool = False) -> Text:
    before, after = "" if gone else pair[0], "" if come else pair[1]
    if before == after or not before:
        return text((after,))
    return text((before,), " → ", (after,), strong=True) if after else text((before,))


def _group(group: Group) -> Text:
    names = fold_names(group.nodes)
    why = (": ", (group.why,)) if group.why else ()
    return text(f"{_OP_WORDS[group.op]} ", (names,), *why)


def _exposure(openings: Sequence[Opening]) -> Iterable[Block]:
    yield Heading("Who reaches what")
    changed = [opening for opening in openings if opening.state != "kept"]
    kept = [opening for opening in openings if opening.state == "kept"]
    if not openings:
        yield Lines((text("No port is open to anybody."),), bullets=False)
    elif len(kept) <= _KEPT_ROWS:
        yield _opened(openings)
    else:
        yield _opened(changed) if changed else Lines((text("Unchanged."),), bullets=False)
        yield Fold(f"Unchanged ({len(kept)})", (_opened(kept),))


def _opened(openings: Sequence[Opening]) -> Table:
    rows = tuple(
        (
            text(_MARKS[opening.state], strong=opening.state != "kept"),
            text((opening.fleet,)),
            text(opening.port, strong=opening.state == "added"),
            text((opening.source,), " (everybody)" if opening.of_the_world else ""),
        )
        for opening in openings
    )
    return Table(("", "fleet", "port", "from"), rows)


def _cost(model: Model) -> Iterable[Block]:
    rows = [row for row in model.fleets if any(row.hourly_usd) or any(row.unpriced)]
    yield Heading("Cost")
    if not rows:
        yield Lines((text("Nothing: no machine of these fleets is rented."),), bullets=False)
        return
    total = [sum(row.hourly_usd[side] for row in rows) for side in (0, 1)]
    cells = [
        (text((row.name,)), text(_usd(row.hourly_usd[0])), text(_usd(row.hourly_usd[1])), text(_unpriced(row)))
        for row in rows
    ]
    cells.append((text("together", strong=True), text(_usd(total[0])), text(_usd(total[1]), strong=True), text("")))
    yield Table(("fleet", "$/h before", "$/h after", ""), tuple(cells))
    yield Lines((text(f"Machines alone, without tax and transfer; prices of {model.prices_of}."),), bullets=False)


def _unpriced(row: FleetRow) -> str:
    return f"{row.unpriced[1]} machines without a known price" if row.unpriced[1] else ""


def _lost(lost: Lost | None) -> Iterable[Block]:
    if lost is None or not lost.asked:
        return
    clouds = " and ".join(lost.asked)
    if not lost.things:
        yield Heading("Orphans")
        yield Lines((text(f"At {clouds} nothing of this project was found that no state knows."),), bullets=False)
    else:
        yield Heading(f"Orphans found: {len(lost.things)}, {_usd(lost.hourly_usd)}/h")
        yield Table(
            ("cloud", "what", "name", "stack", "made", "$/h", "why"),
            tuple(
                (text((one.cloud,)), text((one.kind,)), text((one.name,)), text((one.stack,)), text((one.created,)),
                 text("?" if one.hourly_usd is None else _usd(one.hourly_usd)), prose(one.why))
                for one in lost.things
            ),
        )  # fmt: skip
        yield Lines((text("`gaxx reap` looks again, `gaxx reap --yes` removes what is an orphan for certain."),),
                    bullets=False)  # fmt: skip
    if lost.note:
        yield Lines((prose(lost.note),), bullets=False)


def _not_looked(lost: Lost | None) -> Iterable[Text]:
    if lost is not None and not lost.asked:
        yield prose(f"Orphans were not looked for: {lost.note}.")


def _later(model: Model) -> Iterable[Block]:
    if model.later:
        yield Heading("Not judged yet")
        yield Lines(tuple(prose(line) for line in model.later))


def _notes(model: Model) -> Iterable[Block]:
    if model.notes:
        yield Heading("Also")
        yield Lines(tuple(prose(note) for note in model.notes))


def _names(names: Sequence[str]) -> Text:
    return text((fold_names(names),)) if names else text("the stack")


def _arrow(before: str, after: str) -> str:
    return after if before == after else f"{before} → {after}"


def _usd(amount: float) -> str:
    return f"${amount:.3f}"
