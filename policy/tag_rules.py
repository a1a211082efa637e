"""Tags: whose machine it is, and until when."""

import re
from collections.abc import Iterable

from policy.declared import UNKNOWN, Declared, has_unknown, texts
from policy.machines import machine
from policy.openings import GAXX_ENROLMENT
from policy.rule import Parameter, Rule, Settings, string_list

PREFIX = "gaxx:"
_DURATION = re.compile(r"(?=[0-9])(?:([0-9]{1,6})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?", re.ASCII)
_UNIT_S = (86400, 3600, 60, 1)
REQUIRED = ("project", "backend", "stack", "fleet", "index", "owner")


def seconds(text: str) -> int:
    """Read 30m, 4h, 1d12h; raise ValueError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        message = f"{text!r} is not a duration such as 4h"
        raise ValueError(message)
    return sum(int(part or 0) * unit for part, unit in zip(match.groups(), _UNIT_S, strict=True))


def tag(tags: object, key: str) -> str:
    """The value of `gaxx:<key>=…`; empty when there is none."""
    prefix = f"{PREFIX}{key}="
    return next((text.removeprefix(prefix) for text in texts(tags) if text.startswith(prefix)), "")


def ttl_limited(resource: Declared, settings: Settings) -> Iterable[str]:
    """A paid machine says when it ends, and no machine lives longer than the limit."""
    limit_s = seconds(settings["longest"])
    if resource.type == GAXX_ENROLMENT:
        ttl_s = resource.props.get("ttlS")
        if ttl_s is UNKNOWN:
            yield "ttlS: not known at preview"
        elif isinstance(ttl_s, int | float) and ttl_s > limit_s:
            yield f"ttlS: {ttl_s:.0f} s is longer than {settings['longest']}"
        return
    subject = machine(resource)
    if subject is None:
        return
    if has_unknown(subject.tags):
        yield "tags: not known at preview"
        return
    ttls = [text for text in texts(subject.tags) if text.startswith(f"{PREFIX}ttl=")]
    ttl = tag(subject.tags, "ttl")
    if len(ttls) > 1:
        yield f"tags: {' and '.join(ttls)} contradict each other"
    elif not ttl:
        if subject.paid:
            yield "tags: no gaxx:ttl=…"
    else:
        yield from _ttl_faults(ttl, limit_s, settings["longest"])


def _ttl_faults(ttl: str, limit_s: int, longest: str) -> Iterable[str]:
    try:
        ttl_s = seconds(ttl)
    except ValueError as error:
        yield f"tags: gaxx:ttl={ttl}: {error}"
        return
    if ttl_s == 0:
        yield f"tags: gaxx:ttl={ttl} is no time at all"
    elif ttl_s > limit_s:
        yield f"tags: gaxx:ttl={ttl} is longer than {longest}"


def tags_required(resource: Declared, settings: Settings) -> Iterable[str]:
    """A machine says whose it is."""
    subject = machine(resource)
    if subject is None:
        return
    if has_unknown(subject.tags):
        yield "tags: not known at preview"
        return
    missing = [key for key in settings["tags"] if not tag(subject.tags, key)]
    if missing:
        yield f"tags: no {', '.join(f'{PREFIX}{key}=…' for key in missing)}"


RULES = (
    Rule(
        "ttl-limited",
        "mandatory",
        "what is forgotten ends by itself",
        "set gaxx:ttl in the stack file (or the tag gaxx:ttl=4h on the machine), not above the limit",
        one=ttl_limited,
        parameters={
            "longest": Parameter({"type": "string", "pattern": "^([0-9]+[dhms])+$"}, "7d", "The longest time to live.")
        },
    ),
    Rule(
        "tags-required",
        "mandatory",
        "a bill, an orphan or an incident leads to somebody",
        "declare machines by a Fleet, or give them these tags",
        one=tags_required,
        parameters={"tags": string_list("Names of the tags, without gaxx:.", REQUIRED)},
    ),
)
