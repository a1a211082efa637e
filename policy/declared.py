"""What a rule is given: one resource as the program declares it, in plain values."""

import dataclasses
import enum
from collections.abc import Mapping, Sequence

_UNKNOWN_TEXTS = frozenset(
    {
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # boolean
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # string
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)


class Unknown(enum.Enum):
    """A value that a preview cannot know."""

    UNKNOWN = "unknown"


UNKNOWN = Unknown.UNKNOWN


@dataclasses.dataclass(frozen=True, slots=True)
class Declared:
    """A resource as declared; in a rule about the stack, as it will be afterwards."""

    type: str
    """Pulumi's type token."""
    name: str
    props: Mapping[str, object]
    """Plain values; UNKNOWN where a preview cannot know."""
    urn: str = ""
    parent: str = ""
    """URN; empty for the stack itself."""
    protected: bool = False
    links: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """URNs of the resources that a property's value comes from (rules about the stack only)."""


def plain(value: object) -> object:
    """Turn what a policy is given into plain values, UNKNOWN included.

    pulumi-policy's own containers raise at the touch of an unknown value and turn the whole rule into advice;
    a rule of ours is to see that it is unknown, and to refuse.
    """
    if isinstance(value, str):
        return UNKNOWN if value in _UNKNOWN_TEXTS else value
    if isinstance(value, Mapping):
        target = value if isinstance(value, dict) else value["__target"]
        return {str(key): plain(item) for key, item in target.items()}
    if isinstance(value, Sequence):
        return [plain(item) for item in (value if isinstance(value, list | tuple) else value["__target"])]  # type: ignore[call-overload]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # the wire knows floats only
    return value


def texts(value: object) -> list[str]:
    """The texts of a list; others are left out."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def has_unknown(value: object) -> bool:
    """Whether anything in `value` is unknown."""
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return value is UNKNOWN
