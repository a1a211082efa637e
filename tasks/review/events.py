"""The engine's event log, as what a document holds: resources, steps, violations, and why it failed."""

import collections.abc
import dataclasses
import json
import re
import typing

from tasks.review.document import Json, Resource, Step, Violation

_SECRET = "4dabf18193072939515e22adb298388d"  # noqa: S105 - the key by which the engine marks a secret
SECRET_TEXT = "[secret]"  # noqa: S105 - what stands for one
_FAILURE_LIMIT = 2000
_ANSI = re.compile(r"\x1b\[[0-9;]*m|<\{%[^%]*%\}>")


@dataclasses.dataclass(frozen=True, slots=True)
class Events:
    """What one preview said, in an order that does not depend on which resource was declared first."""

    resources: tuple[Resource, ...]
    steps: tuple[Step, ...]
    violations: tuple[Violation, ...]
    errors: tuple[str, ...]


def read(lines: collections.abc.Iterable[str]) -> Events:
    """Read an event log, one JSON value a line; a line that was cut off is left out."""
    resources: dict[str, Resource] = {}
    steps: dict[tuple[str, str], Step] = {}
    violations: dict[Violation, None] = {}
    errors: dict[str, None] = {}
    for event in _parsed(lines):
        if found := event.get("resourcePreEvent"):
            _resource(found["metadata"], resources, steps)
        elif found := event.get("policyEvent"):
            violations[_violation(found)] = None
        elif (found := event.get("diagnosticEvent")) and found.get("severity") == "error":
            errors[_ANSI.sub("", str(found.get("message", ""))).strip()[:_FAILURE_LIMIT]] = None
    return Events(
        tuple(sorted(resources.values(), key=lambda resource: natural(resource.urn))),
        tuple(sorted(steps.values(), key=lambda step: (natural(step.urn), step.op))),
        tuple(sorted(violations, key=lambda v: (v.level != "mandatory", v.rule, natural(v.urn), v.text))),
        tuple(error for error in errors if error),
    )


def natural(text: str) -> list[tuple[int, int | str]]:
    """A key that sorts demo-9 before demo-10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"([0-9]+)", text) if part]


def _parsed(lines: collections.abc.Iterable[str]) -> collections.abc.Iterator[Json]:
    for line in lines:
        # Most of a log is what the engine says to its developers.
        if '"resourcePreEvent"' in line or '"policyEvent"' in line or '"severity":"error"' in line.replace(" ", ""):
            try:
                yield json.loads(line)
            except ValueError:
                continue


def _resource(metadata: Json, resources: dict[str, Resource], steps: dict[tuple[str, str], Step]) -> None:
    urn, op = metadata["urn"], metadata["op"]
    state = metadata.get("new") or metadata.get("old") or {}
    parent = str(state.get("parent") or "")
    if _is_stack(parent):
        parent = ""
    name = urn.rsplit("::", 1)[-1]
    keys = metadata.get("detailedDiff") or dict.fromkeys(metadata.get("diffs") or metadata.get("keys") or ())
    replacing = [key for key, kind in keys.items() if kind and "replace" in str(kind.get("kind", ""))]
    steps[urn, op] = Step(urn, metadata["type"], name, parent, op, tuple(sorted(replacing or keys)))
    new = metadata.get("new")
    if new and not op.startswith("delete") and not _is_stack(urn):
        resources[urn] = Resource(
            urn, metadata["type"], name, parent, plain(new.get("inputs") or {}), bool(new.get("protect"))
        )


def plain(value: typing.Any) -> typing.Any:
    """An input as the events have it, with secrets as one word."""
    if isinstance(value, dict):
        if _SECRET in value:
            return SECRET_TEXT
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def _is_stack(urn: str) -> bool:
    return "::pulumi:pulumi:Stack::" in urn


def _violation(event: Json) -> Violation:
    text = _ANSI.sub("", str(event.get("message", ""))).strip()
    # What the rule protects, then what is wrong, then how to fix it, which the pack tells too.
    lines = text.split("\nfix: ")[0].split("\n")
    wrong = "\n".join(lines[1:] or lines)
    return Violation(str(event["policyName"]), str(event["enforcementLevel"]), str(event.get("resourceUrn", "")), wrong)
