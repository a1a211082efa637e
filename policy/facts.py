"""What the pack reads out of resources, for a review: openings, machines, prices, and what breaks a rule.

    python -m policy.facts < request.json > facts.json

A program of its own, so that a review asks the pack of the base commit and never the one of the branch that it
reviews. It sees the values that a request holds, makes nothing and asks nobody.
"""

import json
import sys
import typing
from collections.abc import Iterable, Mapping, Sequence

from policy.declared import UNKNOWN, Declared, has_unknown, plain
from policy.machines import machine
from policy.openings import openings
from policy.price_table import price_table
from policy.rule import Rule
from policy.rulebook import RULES
from policy.tag_rules import tag

VERSION = 1

Json = dict[str, typing.Any]


def facts(request: Mapping[str, typing.Any]) -> Json:
    """Answer a request: `resources`, and with `judge` also `configuration` and `stackRegions`."""
    resources = [_declared(entry) for entry in request["resources"]]
    answer: Json = {
        "version": VERSION,
        "pricesOf": price_table().date,
        "fixes": {rule.name: rule.fix for rule in RULES},
        "openings": {r.urn: found for r in resources if (found := _openings(r))},
        "machines": {r.urn: found for r in resources if (found := _machine(r)) is not None},
        "violations": [],
    }
    if request.get("judge"):
        judged = _Judged(request.get("configuration") or {}, request.get("stackRegions") or [])
        answer["violations"] = list(judged.violations(resources))
    return answer


def _declared(entry: Mapping[str, typing.Any]) -> Declared:
    return Declared(
        type=entry["type"],
        name=entry["name"],
        props=typing.cast("Mapping[str, object]", plain(entry["props"])),
        urn=entry["urn"],
        parent=entry.get("parent", ""),
        protected=bool(entry.get("protected")),
        links={key: tuple(urns) for key, urns in (entry.get("links") or {}).items()},
    )


def _openings(resource: Declared) -> Json | None:
    read = openings(resource)
    if not read.found and not read.faults:
        return None
    return {
        "found": [
            {"first": o.first, "last": o.last, "sources": [str(source) for source in o.sources]} for o in read.found
        ],
        "faults": list(read.faults),
    }


def _machine(resource: Declared) -> Json | None:
    found = machine(resource)
    if found is None:
        return None
    image = resource.props.get("image") or resource.props.get("snapshotId") or resource.props.get("osId")
    known = not has_unknown([found.kind, found.region])
    return {
        "cloud": found.cloud,
        "type": _shown(found.kind),
        "region": _shown(found.region),
        "image": _shown(image),
        "ttl": tag(found.tags, "ttl"),
        "hourlyUsd": price_table().hourly_usd(found.cloud, str(found.kind), str(found.region)) if known else None,
        "userDataKnown": not has_unknown(found.user_data),
    }


def _shown(value: object) -> str:
    if value is None:
        return ""
    return "?" if value is UNKNOWN else str(value)


class _Judged:
    """The rules with a pack's configuration, asked outside the engine: about plain values only."""

    def __init__(self, configuration: Mapping[str, typing.Any], stack_regions: Sequence[str]) -> None:
        self._configuration = configuration
        self._stack_regions = list(stack_regions)

    def violations(self, resources: Sequence[Declared]) -> Iterable[Json]:
        for rule in RULES:
            level, given = self._of(rule)
            if level == "disabled":
                continue
            of_stack = {"stackRegions": self._stack_regions} if "stackRegions" in rule.parameters else {}
            for urn, text in _asked(rule, resources, rule.settings({**given, **of_stack})):
                yield {"rule": rule.name, "level": level, "urn": urn, "text": text}

    def _of(self, rule: Rule) -> tuple[str, Mapping[str, typing.Any]]:
        """Level and parameters, as the engine reads a pack's configuration."""
        given = self._configuration.get(rule.name, self._configuration.get("all"))
        if isinstance(given, str):
            return given, {}
        if not isinstance(given, dict):
            return rule.level, {}
        return given.get("enforcementLevel", rule.level), given


def _asked(rule: Rule, resources: Sequence[Declared], settings: Mapping[str, typing.Any]) -> Iterable[tuple[str, str]]:
    try:
        if rule.stack is not None:
            yield from (("", text) for text in rule.stack(resources, settings))
        for index, resource in enumerate(resources):
            if rule.one is not None:
                yield from ((resource.urn, text) for text in rule.one(resource, settings))
            elif rule.growing is not None:
                yield from ((resource.urn, text) for text in rule.growing(resources[: index + 1], settings))
    except Exception as error:  # noqa: BLE001 - whatever it is, it must refuse rather than end as a traceback
        yield "", f"the rule could not judge it ({type(error).__name__}: {error}), so it is refused"


def main() -> None:
    """Read a request from stdin, write the facts to stdout."""
    json.dump(facts(json.load(sys.stdin)), sys.stdout, ensure_ascii=False, sort_keys=True)


if __name__ == "__main__":
    main()
