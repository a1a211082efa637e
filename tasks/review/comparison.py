"""Two documents, and what the pack reads out of them, as the model that a review shows. Pure."""

import collections
import dataclasses
import typing
from collections.abc import Iterable, Mapping, Sequence

from components.creation_pace import minutes
from tasks.review import changes, exposure
from tasks.review.changes import Change, Op
from tasks.review.document import Document, Fault, Violation
from tasks.review.events import natural
from tasks.review.facts import Facts
from tasks.review.lost import Lost
from tasks.review.tree import Tree

_JUDGED_LATER = "user-data-judged-later"

Verdict = typing.Literal["kept", "refused", "failed"]


@dataclasses.dataclass(frozen=True, slots=True)
class FleetRow:
    """A fleet before and after; what is the same twice is shown once."""

    name: str
    """Empty: machines that belong to no fleet."""
    cloud: tuple[str, str]
    nodes: tuple[int, int]
    type: tuple[str, str]
    image: tuple[str, str]
    regions: tuple[str, str]
    ttl: tuple[str, str]
    hourly_usd: tuple[float, float]
    unpriced: tuple[int, int]
    """How many machines have no price in the table."""
    counts: Mapping[Op, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """A rule, what breaks it, and where: one entry for all resources of which the same is wrong."""

    rule: str
    level: str
    text: str
    where: tuple[str, ...]
    fix: str


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Machines to which the same is done for the same reason."""

    fleet: str
    op: Op
    why: str
    nodes: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    """A review."""

    stack: str
    base: str
    head: str
    mode: str
    verdict: Verdict
    fleets: tuple[FleetRow, ...]
    groups: tuple[Group, ...]
    exposure: tuple[exposure.Opening, ...]
    findings: tuple[Finding, ...]
    later: tuple[str, ...]
    """What could not be judged yet."""
    faults: tuple[Fault, ...]
    failure: str
    notes: tuple[str, ...]
    minutes: int
    """An estimate; 0: nothing is to be done about machines."""
    prices_of: str
    lost: Lost | None = None
    """What stands at the vendors in no state; None: whoever gathered knew nothing of that."""

    @property
    def exit_code(self) -> int:
        """As `gaxx review` ends."""
        return {"kept": 0, "refused": 2, "failed": 1}[self.verdict]


def compare(
    before: tuple[Document, Facts],
    after: tuple[Document, Facts],
    notes: Sequence[str] = (),
    lost: Lost | None = None,
) -> Model:
    """Make the model; the same input is the same model."""
    old, new = Tree(*before), Tree(*after)
    head = new.document
    found = changes.between(old, new) if _readable(head) else ()
    findings = _findings(new)
    mandatory = any(finding.level == "mandatory" for finding in findings)
    return Model(
        stack=head.stack,
        base=old.document.commit,
        head=head.commit,
        mode=head.mode,
        verdict="refused" if mandatory or head.faults else "failed" if head.failure else "kept",
        fleets=tuple(_fleets(old, new, found)) if _readable(head) else (),
        groups=_groups(found),
        exposure=exposure.compare(old, new) if _readable(head) else (),
        findings=tuple(f for f in findings if f.rule != _JUDGED_LATER),
        later=(*(f.text for f in findings if f.rule == _JUDGED_LATER), *exposure.unreadable(new)),
        faults=head.faults,
        failure=head.failure,
        notes=(*notes, *_notes(old, new, found)),
        minutes=_minutes(new, found),
        prices_of=new.facts.prices_of,
        lost=lost,
    )


def _readable(head: Document) -> bool:
    """Whether the head's resources are all there: a program that ended early has declared some of them."""
    return not head.faults and not head.failure


def _fleets(old: Tree, new: Tree, found: Sequence[Change]) -> Iterable[FleetRow]:
    named = {node.fleet for tree in (old, new) for node in tree.nodes.values()} | old.fleets.keys() | new.fleets.keys()
    for name in sorted(named, key=natural):
        sides = [[node for node in tree.nodes.values() if node.fleet == name] for tree in (old, new)]

        def both(attribute: str, sides: Sequence[typing.Any] = sides) -> tuple[str, str]:
            first, second = (
                ", ".join(sorted({getattr(node, attribute) for node in side} - {""}, key=natural)) for side in sides
            )
            return first, second

        counts: dict[Op, int] = dict.fromkeys(changes.OPS, 0)
        for change in found:
            if change.fleet == name:
                counts[change.op] += 1
        yield FleetRow(
            name=name,
            cloud=both("cloud"),
            nodes=(len(sides[0]), len(sides[1])),
            type=both("type"),
            image=both("image"),
            regions=both("region"),
            ttl=both("ttl"),
            hourly_usd=_pair(sum(node.hourly_usd or 0.0 for node in side) for side in sides),
            unpriced=_pair(sum(node.hourly_usd is None for node in side) for side in sides),
            counts=counts,
        )


_Number = typing.TypeVar("_Number", int, float)


def _pair(values: Iterable[_Number]) -> tuple[_Number, _Number]:
    first, second = values
    return first, second


def _groups(found: Sequence[Change]) -> tuple[Group, ...]:
    groups: dict[tuple[str, Op, str], list[str]] = {}
    for change in found:
        groups.setdefault((change.fleet, change.op, change.why), []).append(change.node)
    order = {op: index for index, op in enumerate(("delete", "replace", "create", "update"))}
    keys = sorted(groups, key=lambda key: (natural(key[0]), order[key[1]], natural(key[2])))
    return tuple(Group(*key, nodes=tuple(groups[key])) for key in keys)


def _findings(new: Tree) -> list[Finding]:
    stated = [
        *new.document.violations,
        *(Violation(entry["rule"], entry["level"], entry["urn"], entry["text"]) for entry in new.facts.violations),
    ]
    grouped: dict[tuple[str, str, str], dict[str, None]] = {}
    for violation in stated:
        where = grouped.setdefault((violation.level, violation.rule, violation.text), {})
        name = violation.urn.rsplit("::", 1)[-1]
        if name and "::pulumi:pulumi:Stack::" not in violation.urn:
            where[name] = None
    keys = sorted(grouped, key=lambda key: (key[0] != "mandatory", key[1], natural(key[2])))
    return [
        Finding(
            rule, level, text, tuple(sorted(grouped[level, rule, text], key=natural)), new.facts.fixes.get(rule, "")
        )
        for level, rule, text in keys
    ]


def _notes(old: Tree, new: Tree, found: Sequence[Change]) -> Iterable[str]:
    if "resource plugin" in new.document.failure:
        yield "a vendor's plugin is not there: 'gaxx review --static' needs none, and judges what the stack file says"
    if new.document.mode == "absent":
        yield "the stack file is gone: machines of a stack that is up stay until `pulumi destroy`"
    if old.document.mode == "absent":
        yield "the stack is new"
    elif old.document.faults or old.document.failure:
        yield "what the base declares could not be read: everything is shown as new"
    gone = [name for name in old.fleets if name not in new.fleets]
    come = [name for name in new.fleets if name not in old.fleets]
    for before in gone:
        alike = [name for name in come if old.fleets[before].props == new.fleets[name].props]
        if alike and any(change.fleet == before for change in found):
            yield f"{before} seems to be renamed to {alike[0]}: a new name is new machines"
    lost = sorted({node.fleet for node in old.nodes.values() if node.ttl} & _without_ttl(new), key=natural)
    if lost:
        yield f"{', '.join(lost)}: the time to live is gone; nothing ends these machines by itself"


def _without_ttl(tree: Tree) -> set[str]:
    return {node.fleet for node in tree.nodes.values() if not node.ttl}


def _minutes(new: Tree, found: Sequence[Change]) -> int:
    """About how long an update takes; a deletion is not waited for by anybody."""
    clouds = {node.name: node.cloud for node in new.nodes.values()}
    # A node is several resources, and a preview tells of each.
    anew = {change.node for change in found if change.op in ("create", "replace")}
    made = collections.Counter(clouds[node] for node in anew if node in clouds)
    return minutes(made) if found else 0
