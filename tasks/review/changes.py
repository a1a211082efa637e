"""What becomes of each machine, and why; and what changes on machines that stay."""

import dataclasses
import hashlib
import typing
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

from tasks.review.events import natural
from tasks.review.tree import NOBODY, Node, Tree

Op = typing.Literal["create", "replace", "delete", "update"]
OPS: tuple[Op, ...] = typing.get_args(Op)

_TRIGGERS = ("image", "type", "region", "private network")
_SIMPLE = {
    "slots": "items at once",
    "ttlS": "time to live (s)",
    "idleS": "idle time (s)",
    "reach": "reached by",
}
_LISTS = {
    "packages": "packages",
    "groups": "groups",
    "trustedCidrs": "trusted ranges",
    "sshCidrs": "SSH ranges",
    "deniedSerials": "denied certificates",
}
_SHOWN_DIGITS = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What would be done about one machine."""

    fleet: str
    node: str
    op: Op
    why: str
    """Empty where a create or a delete needs no reason."""


def between(before: Tree, after: Tree) -> tuple[Change, ...]:
    """What becomes of each machine: by the engine where it knows the stack's state, else by what is declared."""
    found = _by_engine(before, after) if after.document.mode == "state" else _by_declaration(before, after)
    return tuple(sorted(found, key=lambda change: (natural(change.fleet), natural(change.node))))


def _by_declaration(before: Tree, after: Tree) -> Iterable[Change]:
    for urn in before.nodes.keys() | after.nodes.keys():
        old, new = before.nodes.get(urn), after.nodes.get(urn)
        if new is None:
            old = typing.cast("Node", old)
            yield Change(old.fleet, old.name, "delete", "")
        elif old is None:
            yield Change(new.fleet, new.name, "create", "")
        elif why := _replaced(old, new):
            yield Change(new.fleet, new.name, "replace", why)
        elif why := ", ".join(settings(old, new)):
            yield Change(new.fleet, new.name, "update", why)


def _replaced(old: Node, new: Node) -> str:
    told = dict.fromkeys(
        f"{name} {before} → {after}"
        for name, before, after in (
            *_triggered(old.triggers, new.triggers),
            ("image", old.image, new.image),
            ("region", old.region, new.region),
        )
        if before != after
    )
    return ", ".join(told)


def _triggered(old: Sequence[str], new: Sequence[str]) -> Iterable[tuple[str, str, str]]:
    if not old or not new:
        return ()  # a program of somebody else's, which tells none
    # The last one is there only where it is declared.
    return ((name, *pair) for name, pair in zip(_TRIGGERS, zip_longest(old, new, fillvalue="none"), strict=False))


def _by_engine(before: Tree, after: Tree) -> Iterable[Change]:
    ops: dict[str, dict[str, tuple[str, ...]]] = {}
    for step in after.document.steps:
        ops.setdefault(step.urn, {})[step.op] = step.why
    of_node: dict[tuple[str, str], Node] = {(n.machine.parent, n.name): n for n in after.nodes.values()}
    touched: dict[str, str] = {}
    for resource in after.document.resources:
        node = of_node.get((resource.parent, str(resource.props.get("node", ""))))
        if node is not None and "update" in ops.get(resource.urn, {}):
            touched[node.urn] = ", ".join(ops[resource.urn]["update"])
    for urn, node in after.nodes.items():
        done = ops.get(urn, {})
        old = before.nodes.get(urn)
        reasons = (_replaced(old, node) or ", ".join(settings(old, node))) if old else ""
        if any("replace" in op for op in done):
            yield Change(node.fleet, node.name, "replace", reasons or ", ".join(_why(done)))
        elif "create" in done:
            yield Change(node.fleet, node.name, "create", "")
        elif "update" in done or urn in touched:
            yield Change(node.fleet, node.name, "update", reasons or touched.get(urn, "") or ", ".join(_why(done)))
    for step in after.document.steps:
        machine = step.urn in before.nodes or _is_machine(step.type, after)
        if step.op == "delete" and machine and step.urn not in after.nodes:
            yield Change(_fleet_of_step(step.parent), step.name, "delete", "")


def _why(done: Mapping[str, tuple[str, ...]]) -> list[str]:
    return sorted({key for op, keys in done.items() if "replace" in op or op == "update" for key in keys})


def _is_machine(kind: str, tree: Tree) -> bool:
    return kind.endswith(("Node", ":Instance")) or any(kind == node.machine.type for node in tree.nodes.values())


def _fleet_of_step(parent: str) -> str:
    return parent.rsplit("::", 1)[-1] if "gaxx:index:Fleet::" in parent else ""


def settings(old: Node, new: Node) -> list[str]:
    """What changes in place, in words that hold no value that could be long or secret."""
    before, after = old.enrolment, new.enrolment
    found = [
        f"{word} {before.get(key)} → {after.get(key)}"
        for key, word in _SIMPLE.items()
        if before.get(key) != after.get(key)
    ]
    for key, word in _LISTS.items():
        found += _members(word, map(str, before.get(key) or ()), map(str, after.get(key) or ()))
    people = _people(before), _people(after)
    if not any(person.startswith(f"{NOBODY} ") for side in people for person in side):
        found += _members("operators", *people)
    for key, word in (("env", "environment"), ("files", "files")):
        found += _entries(word, before.get(key) or {}, after.get(key) or {})
    if before.get("agentSource") != after.get("agentSource"):
        found.append(f"agent {_digits(before.get('agentSource'))} → {_digits(after.get('agentSource'))}")
    if not old.triggers and old.type != new.type:
        found.append(f"type {old.type} → {new.type} (resized)")
    if old.ttl != new.ttl and "ttlS" not in before:
        found.append(f"ttl {old.ttl or 'none'} → {new.ttl or 'none'}")
    return found


def _members(word: str, before: Iterable[str], after: Iterable[str]) -> list[str]:
    old, new = set(before), set(after)
    signs = [f"+{item}" for item in sorted(new - old)] + [f"-{item}" for item in sorted(old - new)]
    return [f"{word} {' '.join(signs)}"] if signs else []


def _people(props: Mapping[str, typing.Any]) -> list[str]:
    return [
        f"{person.get('name')} ({person.get('role')}, key {_key(person.get('sshPublicKey'))})"
        for person in props.get("principals") or ()
        if isinstance(person, dict)
    ]


def _key(public: object) -> str:
    # Short, and not the key itself: enough to see that it is another one.
    return hashlib.sha256(str(public or "").encode()).hexdigest()[:_SHOWN_DIGITS]


def _entries(word: str, before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    signs = [f"+{name}" for name in sorted(after.keys() - before.keys())]
    signs += [f"-{name}" for name in sorted(before.keys() - after.keys())]
    signs += [f"~{name}" for name in sorted(before.keys() & after.keys()) if before[name] != after[name]]
    return [f"{word} {' '.join(signs)}"] if signs else []


def _digits(value: object) -> str:
    return str(value or "none")[:_SHOWN_DIGITS]
