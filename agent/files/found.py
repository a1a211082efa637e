"""Files on a node that match globs, opened without following links."""

import contextlib
import fnmatch
import os
import stat
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.files.territory import PathRefused, Territory, open_file

_MAGIC = frozenset("*?[")


@dataclass(frozen=True)
class Found:
    """One match. `descriptor` is open for reading, -1 for folders and what cannot be read (`error` says why)."""

    path: str
    size_bytes: int
    mode: int
    is_directory: bool
    descriptor: int = -1
    error: str = ""


def find(territory: Territory, home: Path, base: str, globs: list[str]) -> Generator[Found, None, None]:
    """Yield what matches, folders before what is in them, each path once; a matched folder with all in it.

    The caller closes each descriptor before it asks for the next. `**` matches any depth.
    Raises PathRefused, FileNotFoundError for a path without wildcards that is not there, other OSError.
    """
    seen: set[str] = set()
    for pattern in globs:
        root, pattern_parts = _root_of(pattern, base)
        territory.split(home, f"{root}/{'/'.join(pattern_parts)}" if root else "/".join(pattern_parts))
        matched = False
        with territory.folder(home, root) as folder:
            for found in _match(territory, folder, "", pattern_parts):
                matched = True
                if found.path in seen:
                    if found.descriptor >= 0:
                        os.close(found.descriptor)
                    continue
                seen.add(found.path)
                yield found
        if not matched and not _MAGIC & set(pattern):
            raise FileNotFoundError(2, "No such file or directory", pattern)


def _root_of(pattern: str, base: str) -> tuple[str, list[str]]:
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if not parts:
        message = f"{pattern!r} names no file"
        raise PathRefused(message)
    if not pattern.startswith("/"):
        return base, parts
    # The fixed part of an absolute pattern is where the search begins.
    fixed = 0
    while fixed < len(parts) - 1 and not _MAGIC & set(parts[fixed]):
        fixed += 1
    return "/" + "/".join(parts[:fixed]), parts[fixed:]


def _match(territory: Territory, folder: int, prefix: str, parts: list[str]) -> Iterator[Found]:
    """Walk `parts` inside an open folder."""
    first, rest = parts[0], parts[1:]
    if first == "**":
        yield from _match(territory, folder, prefix, rest or ["*"])
    for name in _names(folder, first):
        path = f"{prefix}{name}"
        is_folder = _is_folder(folder, name)
        if first == "**":
            if is_folder:
                yield from _inside(territory, folder, name, path, parts)
        elif not rest:
            yield from _whole(territory, folder, name, path)
        elif is_folder:
            yield from _inside(territory, folder, name, path, rest)


def _names(folder: int, pattern: str) -> list[str]:
    if pattern != "**" and not _MAGIC & set(pattern):
        try:
            os.stat(pattern, dir_fd=folder, follow_symlinks=False)
        except OSError:
            return []
        return [pattern]
    hidden = pattern.startswith(".")
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    if pattern == "**":
        return [name for name in names if not name.startswith(".")]
    return [name for name in names if fnmatch.fnmatchcase(name, pattern) and (hidden or not name.startswith("."))]


def _is_folder(folder: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _inside(territory: Territory, folder: int, name: str, path: str, parts: list[str]) -> Iterator[Found]:
    with contextlib.suppress(PathRefused, OSError):
        inner = territory.open_folder(name, folder, path)
        try:
            yield from _match(territory, inner, f"{path}/", parts)
        finally:
            os.close(inner)


def _whole(territory: Territory, folder: int, name: str, path: str) -> Iterator[Found]:
    """Yield one match, and for a folder all that is in it, hidden files too."""
    state = os.stat(name, dir_fd=folder, follow_symlinks=False)
    mode = stat.S_IMODE(state.st_mode)
    try:
        path.encode()
        if stat.S_ISDIR(state.st_mode):
            inner = territory.open_folder(name, folder, path)
            try:
                yield Found(path, 0, mode, is_directory=True)
                for child in sorted(os.listdir(inner)):  # noqa: PTH208 - of a descriptor
                    yield from _whole(territory, inner, child, f"{path}/{child}")
            finally:
                os.close(inner)
            return
        descriptor = open_file(name, folder, path)
    except UnicodeEncodeError:
        shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        yield Found(shown, 0, mode, is_directory=False, error="its name is not UTF-8")
    except PathRefused as refused:
        yield Found(path, 0, mode, is_directory=False, error=str(refused).removeprefix(f"{path}: "))
    except OSError as fault:
        yield Found(path, 0, mode, is_directory=False, error=fault.strerror or "cannot be read")
    else:
        yield Found(path, os.fstat(descriptor).st_size, mode, is_directory=False, descriptor=descriptor)
