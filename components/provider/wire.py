"""The engine's property maps (protobuf Struct) as Python values and back.

The signatures are Pulumi's own (sdk/python/lib/pulumi/runtime/rpc.py, v3.259.0): a secret is a map with a
magic key, an unknown is a magic string. A secret is tracked per top-level property, which is how our
resources declare them.
"""

import dataclasses
import enum
import typing
from collections.abc import Mapping

from google.protobuf import struct_pb2

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - Pulumi's marker of a secret, not one
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class Unknown(enum.Enum):
    """The one value that a preview cannot know yet."""

    UNKNOWN = "unknown"


UNKNOWN: typing.Final = Unknown.UNKNOWN

Properties = dict[str, typing.Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Decoded:
    """A property map: its values, and the names of those that were secret anywhere inside."""

    values: Properties
    secrets: frozenset[str]


def decode(struct: struct_pb2.Struct) -> Decoded:
    """Read a property map; whole numbers become ints, since the wire has only floats."""
    values: Properties = {}
    secrets: set[str] = set()
    for key, value in struct.fields.items():
        plain, is_secret = _decode(value)
        values[key] = plain
        if is_secret:
            secrets.add(key)
    return Decoded(values, frozenset(secrets))


def encode(values: Mapping[str, typing.Any], secrets: frozenset[str]) -> struct_pb2.Struct:
    """Write a property map; properties named in `secrets` are marked so."""
    struct = struct_pb2.Struct()
    for key, value in values.items():
        if value is None:
            continue
        target = struct.fields[key]
        if key in secrets:
            fields = target.struct_value.fields
            fields[_SIGNATURE].string_value = _SECRET
            target = fields["value"]
        _encode(value, target)
    return struct


def contains_unknown(value: object) -> bool:
    """Whether `value` is or contains something that a preview cannot know."""
    if value is UNKNOWN:
        return True
    if isinstance(value, Mapping):
        return any(contains_unknown(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(contains_unknown(item) for item in value)
    return False


def _decode(value: struct_pb2.Value) -> tuple[typing.Any, bool]:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _decode_struct(value.struct_value)
    if kind == "list_value":
        pairs = [_decode(item) for item in value.list_value.values]
        return [plain for plain, _ in pairs], any(is_secret for _, is_secret in pairs)
    if kind == "string_value":
        return (UNKNOWN if value.string_value == _UNKNOWN_TEXT else value.string_value), False
    if kind == "number_value":
        number = value.number_value
        return (int(number) if number.is_integer() else number), False
    if kind == "bool_value":
        return value.bool_value, False
    return None, False


def _decode_struct(struct: struct_pb2.Struct) -> tuple[typing.Any, bool]:
    signature = struct.fields[_SIGNATURE].string_value if _SIGNATURE in struct.fields else ""
    if signature == _SECRET:
        return _decode(struct.fields["value"])[0], True
    if signature == _OUTPUT:
        if "value" not in struct.fields:
            return UNKNOWN, "secret" in struct.fields and struct.fields["secret"].bool_value
        plain, is_secret = _decode(struct.fields["value"])
        return plain, is_secret or ("secret" in struct.fields and struct.fields["secret"].bool_value)
    pairs = {key: _decode(item) for key, item in struct.fields.items()}
    return {key: plain for key, (plain, _) in pairs.items()}, any(is_secret for _, is_secret in pairs.values())


def _encode(value: object, target: struct_pb2.Value) -> None:
    if value is UNKNOWN:
        target.string_value = _UNKNOWN_TEXT
    elif value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, Mapping):
        # An empty map must be set too, or it would read back as null.
        target.struct_value.SetInParent()
        for key, item in value.items():
            _encode(item, target.struct_value.fields[key])
    elif isinstance(value, list | tuple):
        target.list_value.SetInParent()
        for item in value:
            _encode(item, target.list_value.values.add())
    else:
        message = f"a {type(value).__name__} cannot be sent to the engine"
        raise TypeError(message)
