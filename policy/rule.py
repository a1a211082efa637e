"""A rule: a name, how severe it is, what it protects, how to fix a breach, and the predicate itself."""

import dataclasses
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence

from policy.declared import Declared

Level = typing.Literal["advisory", "mandatory"]
Settings = Mapping[str, typing.Any]
"""A rule's parameters, each given or with its default."""


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """One value that the pack's configuration may set."""

    schema: Mapping[str, typing.Any]
    """JSON Schema."""
    default: typing.Any
    description: str


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Exactly one of `one`, `stack` and `growing` judges; each returns what is wrong, in words."""

    name: str
    level: Level
    protects: str
    """What would be lost without it; one sentence without a full stop."""
    fix: str
    """What to do; starts with a verb."""
    one: Callable[[Declared, Settings], Iterable[str]] | None = None
    """Judges one resource, before anything is done about it."""
    stack: Callable[[Sequence[Declared], Settings], Iterable[str]] | None = None
    """Judges all resources; at the end of a preview, but in an update only after everything was made."""
    growing: Callable[[Sequence[Declared], Settings], Iterable[str]] | None = None
    """Judges the resources declared so far, the one in question last, before anything is done about it."""
    parameters: Mapping[str, Parameter] = dataclasses.field(default_factory=dict)

    def settings(self, given: Mapping[str, typing.Any]) -> Settings:
        """Parameters with their defaults where none is given."""
        return {name: given.get(name, parameter.default) for name, parameter in self.parameters.items()}


def string_list(description: str, default: Sequence[str] = ()) -> Parameter:
    """A parameter that is a list of texts."""
    return Parameter({"type": "array", "items": {"type": "string"}}, list(default), description)


def number(description: str, default: float, *, minimum: float = 0, maximum: float | None = None) -> Parameter:
    """A parameter that is a number."""
    bounds = {"minimum": minimum} | ({} if maximum is None else {"maximum": maximum})
    return Parameter({"type": "number", **bounds}, default, description)
