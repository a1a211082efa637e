"""What was gathered of one commit: the contract between whoever gathers and the judge, which is of the base commit.

It holds no secret: the engine's events have secrets blanked, and stack files hold ciphertext only, which stays out.
"""

import dataclasses
import typing
from collections.abc import Mapping

VERSION = 1

Json = dict[str, typing.Any]
Mode = typing.Literal["state", "declared", "static", "absent"]
"""Where it comes from: the engine against the stack's own state; the engine against none; the stack file alone;
nowhere, because the commit has no such stack."""


@dataclasses.dataclass(frozen=True, slots=True)
class Resource:
    """One resource as the program declares it."""

    urn: str
    type: str
    name: str
    parent: str
    """URN; empty for the stack itself."""
    props: Mapping[str, typing.Any]
    """As the engine's events have them: what is unknown is the engine's own text for that."""
    protected: bool = False
    links: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What the engine would do about one resource; `why` names the properties that differ."""

    urn: str
    type: str
    name: str
    parent: str
    op: str
    why: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Violation:
    """A rule that something breaks."""

    rule: str
    level: str
    urn: str
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a stack file; nothing else can be judged then."""

    file: str
    line: int
    key: str
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """A stack as one commit declares it."""

    stack: str
    commit: str
    """As a person names it."""
    mode: Mode
    resources: tuple[Resource, ...] = ()
    steps: tuple[Step, ...] = ()
    """Empty but in mode `state`."""
    violations: tuple[Violation, ...] = ()
    faults: tuple[Fault, ...] = ()
    failure: str = ""
    """Why the engine failed, where it was not a rule that refused."""
    stack_regions: tuple[str, ...] = ()

    def to_json(self) -> Json:
        """As JSON values."""
        return {"version": VERSION, **dataclasses.asdict(self)}


def from_json(data: Mapping[str, typing.Any]) -> Document:
    """Read a document back; raise ValueError for one of another version."""
    if data.get("version") != VERSION:
        message = f"a review document of version {data.get('version')}, and this judge reads {VERSION}"
        raise ValueError(message)
    return Document(
        stack=data["stack"],
        commit=data["commit"],
        mode=data["mode"],
        resources=tuple(Resource(**{**entry, "links": _links(entry)}) for entry in data["resources"]),
        steps=tuple(Step(**{**entry, "why": tuple(entry["why"])}) for entry in data["steps"]),
        violations=tuple(Violation(**entry) for entry in data["violations"]),
        faults=tuple(Fault(**entry) for entry in data["faults"]),
        failure=data["failure"],
        stack_regions=tuple(data["stack_regions"]),
    )


def _links(entry: Mapping[str, typing.Any]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(urns) for key, urns in (entry.get("links") or {}).items()}
