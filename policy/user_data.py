"""User-data, decoded and parsed: what a machine boots from is judged as cloud-init reads it, not as text."""

import base64
import binascii
import dataclasses
import functools
import gzip
import typing
import zlib
from collections.abc import Iterator, Mapping

import yaml

from policy.machines import Machine

_HEADER = "#cloud-config"
_UNPACKED_LIMIT_BYTES = 1 << 20

Path = tuple[str, ...]


class UnreadableError(Exception):
    """User-data that is not what can be judged; str() says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """A file that the machine writes when it boots."""

    path: str
    content: str


def parse(machine: Machine) -> Mapping[str, typing.Any]:
    """Decode and parse a machine's user-data; raise UnreadableError."""
    given = machine.user_data
    if not isinstance(given, str) or not given:
        message = "there is none, and an image's own defaults let passwords in"
        raise UnreadableError(message)
    return _parsed(given, machine.encoded)


# Several rules ask about the same machine, one after the other; YAML takes longer than all of them.
@functools.lru_cache(maxsize=16)
def _parsed(given: str, encoded: bool) -> Mapping[str, typing.Any]:  # noqa: FBT001 - part of the cache's key
    text = _decoded(given) if encoded else given
    # Anything else (MIME parts, includes, scripts, jinja) does what no rule here can foresee.
    if text.split("\n", 1)[0].rstrip() != _HEADER:
        message = f"it does not start with {_HEADER}; scripts, includes, templates and archives cannot be judged"
        raise UnreadableError(message)
    try:
        parsed = yaml.load(text, _OnceLoader)  # noqa: S506 - a SafeLoader that refuses repeated keys
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", "") or "unreadable"
        message = f"it is not YAML ({reason})"
        raise UnreadableError(message) from None
    if not isinstance(parsed, dict):
        message = "it is not a mapping"
        raise UnreadableError(message)
    return parsed


def files(parsed: Mapping[str, typing.Any]) -> Iterator[File]:
    """The files that it writes, decoded; raise UnreadableError for one that cannot be."""
    written = parsed.get("write_files")
    for entry in written if isinstance(written, list) else []:
        if isinstance(entry, dict):
            path = str(entry.get("path", ""))
            if entry.get("source"):
                message = f"{path} comes from an address, and what is there may change"
                raise UnreadableError(message)
            yield File(path, _content(path, entry))


def strings(value: object, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every text in it, keys and raw bytes too, with where it is."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, str(key)), str(key)
            yield from strings(item, (*path, str(key)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from strings(item, (*path, str(index)))
    elif isinstance(value, bytes):
        yield path, value.decode(errors="replace")
    elif value is not None:
        yield path, str(value)


def _decoded(given: str) -> str:
    try:
        return base64.b64decode("".join(given.split()), validate=True).decode()
    except (binascii.Error, ValueError):
        message = "it is not base64 of text, as Linode wants it"
        raise UnreadableError(message) from None


def _content(path: str, entry: Mapping[str, typing.Any]) -> str:
    content = entry.get("content", "")
    encoding = str(entry.get("encoding", "")).lower()
    data = content if isinstance(content, bytes) else str(content).encode()
    try:
        if encoding in {"b64", "base64", "gz+b64", "gz+base64", "gzip+b64", "gzip+base64"}:
            data = base64.b64decode(data)
        if encoding.startswith(("gz", "gzip")):
            data = _unpacked(data)
    except (binascii.Error, OSError, EOFError, zlib.error):
        message = f"{path} is not {encoding}"
        raise UnreadableError(message) from None
    return data.decode(errors="replace")


def _unpacked(data: bytes) -> bytes:
    """No more than a limit: what a small archive unpacks to has none."""
    import io

    with gzip.open(io.BytesIO(data)) as stream:
        return stream.read(_UNPACKED_LIMIT_BYTES)


class _OnceLoader(yaml.SafeLoader):
    """Reads as cloud-init does, but a key that stands twice is an error: readers differ in which one counts."""


def _once(loader: _OnceLoader, node: yaml.MappingNode) -> dict[object, object]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        try:
            repeated = key in seen
        except TypeError:
            continue  # the loader itself says what is wrong with such a key
        if repeated:
            raise yaml.constructor.ConstructorError(None, None, f"{key!r} stands twice", key_node.start_mark)
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_OnceLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _once)
