"""Paths on the nodes: where files go, which globs mean what, and which names of a node's are believed.

A node may be hostile: what it calls a file decides nothing here unless it is plain, relative and was asked for.
"""

import collections.abc
import fnmatch
import os

from components.errors import GaxxError, Refused

MAGIC = frozenset("*?[")
STAGING_PREFIX = ".gaxx-get-"
"""Of folders of ours inside a target folder."""
_NAME_LIMIT_BYTES = 255
_PATH_LIMIT_BYTES = 4096


def parts_of(path: str) -> list[str]:
    """Return the components; raise Refused for a path that climbs."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in path:
        message = f"{path}: a path on a node may contain neither '..' nor a zero byte"
        raise Refused(message, hint="paths are relative to your work folder on the node, or absolute")
    return parts


def joined(folder: str, name: str) -> str:
    """Join a folder on a node ("" is the work folder) and a relative path."""
    if not folder:
        return name
    return f"{folder.rstrip('/')}/{name}"


def normal(path: str) -> str:
    """Write a path on a node in one way: `./a//b/` is `a/b`. Raises Refused."""
    return ("/" if path.startswith("/") else "") + "/".join(parts_of(path))


def split_glob(glob: str) -> tuple[str, str]:
    """Split into the fixed folder and the pattern below it, as scp does: `out/*.png` is (`out`, `*.png`).

    Raise Refused for a glob that climbs, GaxxError for one that names nothing.
    """
    parts = parts_of(glob)
    if not parts:
        if "." in glob:
            return "", "*"
        message = f"{glob!r} names no file"
        raise GaxxError(message)
    fixed = 0
    while fixed < len(parts) - 1 and not MAGIC & set(parts[fixed]):
        fixed += 1
    return ("/" if glob.startswith("/") else "") + "/".join(parts[:fixed]), "/".join(parts[fixed:])


def why_unsafe(path: str) -> str:
    """Say why a name that came from a node must not be used below a folder of ours; "" when it may."""
    parts = path.split("/")
    if not path or path.startswith("/"):
        return "is not relative"
    if any(part in {"", ".", ".."} for part in parts):
        return "leads out of the folder"
    if "\0" in path:
        return "contains a zero byte"
    sizes = [len(os.fsencode(part)) for part in parts]
    if max(sizes) > _NAME_LIMIT_BYTES or sum(sizes) > _PATH_LIMIT_BYTES:
        return "is too long"
    if any(part.startswith(STAGING_PREFIX) for part in parts):
        return "belongs to gaxx"
    return ""


def is_asked_for(path: str, pattern: str) -> bool:
    """Whether a relative path matches, or lies in a folder that matches; `**` is any depth, hidden names are said."""
    wanted = _wanted(pattern)
    return len(wanted) in _reached(path, wanted)


def leads_on(path: str, pattern: str) -> bool:
    """Whether something in the folder `path` may be asked for."""
    return bool(_reached(path, _wanted(pattern)))


def _wanted(pattern: str) -> list[str]:
    wanted = pattern.split("/")
    return [*wanted, "*"] if wanted[-1] == "**" else wanted


def _reached(path: str, wanted: collections.abc.Sequence[str]) -> set[int]:
    """Positions in the pattern to which the components lead; the one past the end is a match."""
    reached = _skipped({0}, wanted)
    for name in path.split("/"):
        after: set[int] = set()
        for position in reached:
            if position == len(wanted) or (wanted[position] == "**" and not name.startswith(".")):
                after.add(position)
            elif wanted[position] != "**" and fits(name, wanted[position]):
                after.add(position + 1)
        reached = _skipped(after, wanted)
    return reached


def fits(name: str, pattern: str) -> bool:
    """Whether one component matches: a hidden name only when the pattern begins with a dot."""
    if not MAGIC & set(pattern):
        return name == pattern
    return fnmatch.fnmatchcase(name, pattern) and (pattern.startswith(".") or not name.startswith("."))


def _skipped(positions: collections.abc.Iterable[int], wanted: collections.abc.Sequence[str]) -> set[int]:
    """Add what is reached when `**` stands for no folder at all."""
    found = set(positions)
    for position in sorted(found):
        at = position
        while at < len(wanted) and wanted[at] == "**":
            at += 1
            found.add(at)
    return found
