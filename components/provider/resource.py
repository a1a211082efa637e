"""What every resource of ours is: declared properties, and the check and diff that follow from them."""

import abc
import dataclasses
import typing
from collections.abc import Mapping

from components.errors import GaxxError
from components.provider.context import Context
from components.provider.wire import UNKNOWN, Properties, contains_unknown

PropertyType = typing.Literal["string", "integer", "number", "boolean", "array", "object"]

_PYTHON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Property:
    """One property of a resource, as the schema shows it and as diff treats it."""

    type: PropertyType
    description: str
    required: bool = True
    secret: bool = False
    replaces: bool = False
    """Whether a change makes another resource of it; else it is updated in place."""
    items: "Property | None" = None
    """The element of an array, or the value of an object; absent: an object of anything."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One wrong input: which property, why, and what would be right."""

    property: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Created:
    """What a create made: its id, and the properties beyond the inputs."""

    id: str
    outputs: Properties


class PartialError(GaxxError):
    """It exists, but does not work yet: the engine is to remember `made`, and the next update mends it."""

    def __init__(self, made: Created, reason: GaxxError) -> None:
        self.made = made
        super().__init__(reason.message, hint=reason.hint)


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """What changed between the state and what is wanted."""

    updates: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()


class Resource(abc.ABC):
    """One resource type. State holds the inputs, but for `asked_once`, and the outputs together."""

    pulumi_type: typing.ClassVar[str]
    description: typing.ClassVar[str]
    inputs: typing.ClassVar[Mapping[str, Property]]
    outputs: typing.ClassVar[Mapping[str, Property]]
    """Beyond the inputs."""
    delete_before_replace: typing.ClassVar[bool] = True
    """Names and addresses are fixed per node: the old one has to make room."""
    asked_once: typing.ClassVar[frozenset[str]] = frozenset()
    """Inputs that the state holds as inputs only: long ones, which the engine would write twice with each step."""
    volatile: typing.ClassVar[frozenset[str]] = frozenset()
    """Outputs that an update may change: a preview of one cannot know them."""

    @property
    def secrets(self) -> frozenset[str]:
        """Names of the properties that are secret by declaration."""
        return frozenset(name for name, spec in {**self.inputs, **self.outputs}.items() if spec.secret)

    def check(self, inputs: Properties) -> list[Fault]:
        """All faults of the inputs: unknown names, missing ones, wrong types."""
        faults = [
            Fault(name, f"unknown property; known are {', '.join(sorted(self.inputs))}")
            for name in inputs
            if name not in self.inputs and not name.startswith("__")
        ]
        for name, spec in self.inputs.items():
            value = inputs.get(name)
            if value is None:
                if spec.required:
                    faults.append(Fault(name, f"missing; {spec.description}"))
            elif not contains_unknown(value) and not _fits(value, spec):
                faults.append(Fault(name, f"must be of type {spec.type}"))
        return faults

    def drift(self, context: Context, state: Properties) -> Difference:
        """Outputs which say that the world has moved away from the state and must be mended."""
        del context, state
        return Difference()

    def diff(self, context: Context, old_inputs: Properties, state: Properties, news: Properties) -> Difference:
        """Compare property by property: replace where one says so, else update."""
        changed = [
            name
            for name in {**old_inputs, **news}
            if not name.startswith("__") and _plain(old_inputs.get(name)) != _plain(news.get(name))
        ]
        replaces = tuple(sorted(name for name in changed if name in self.inputs and self.inputs[name].replaces))
        updates = tuple(sorted(set(changed) - set(replaces)))
        drift = self.drift(context, state)
        return Difference(updates + drift.updates, replaces + drift.replaces)

    def preview_created(self, inputs: Properties) -> Properties:
        """What a preview knows of a resource to be made."""
        return {**inputs, **dict.fromkeys(self.outputs, UNKNOWN)}

    def preview_updated(self, state: Properties, news: Properties) -> Properties:
        """What a preview knows of a resource to be updated."""
        kept = {name: state[name] for name in self.outputs if name in state and name not in self.volatile}
        unknown = {name: UNKNOWN for name in self.outputs if name not in kept}
        return {**kept, **unknown, **news}

    @abc.abstractmethod
    async def create(self, context: Context, inputs: Properties) -> Created:
        """Make it, or adopt what an interrupted create of the same name left."""

    async def read(self, context: Context, resource_id: str, state: Properties) -> Properties | None:
        """The state as it is in the world; None when the resource is gone."""
        del context, resource_id
        return state

    @abc.abstractmethod
    async def update(self, context: Context, resource_id: str, state: Properties, news: Properties) -> Properties:
        """Bring it to `news` in place and mend its drift; return the outputs."""

    @abc.abstractmethod
    async def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        """Remove it; what is gone already is no error."""


def _fits(value: object, spec: Property) -> bool:
    if isinstance(value, bool) and spec.type != "boolean":
        return False
    if not isinstance(value, _PYTHON[spec.type]):
        return False
    if spec.items is None:
        return True
    if isinstance(value, list):
        return all(_fits(item, spec.items) for item in value)
    if isinstance(value, dict):
        return all(_fits(item, spec.items) for item in value.values())
    return True


def _plain(value: object) -> object:
    # An absent property and an empty one are the same wish.
    return None if value in ({}, []) else value
