"""The files an item leaves behind for the controller: found by glob, held where no later item can change them.

Every step goes through a directory's descriptor and follows no link: an item cannot make the agent read for it what
only the agent may read.
"""

import errno
import fnmatch
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.proto.agent_pb2 import ReturnedFile

INLINE_BYTES = 32 * 1024
"""Files up to this size travel with the result …"""
INLINE_SUM_BYTES = 128 * 1024
"""… as long as they are no more than this together."""
MANY = 10_000
"""More files than this of one item are a mistake in the glob."""
_BLOCK_BYTES = 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_MAGIC = re.compile(rb"[*?\[]")


class _BadPattern(Exception):  # noqa: N818 - never leaves this module
    """The glob leads out of the folder."""


def collect(root: bytes, globs: Sequence[bytes], held: Path) -> tuple[list[ReturnedFile], list[str]]:
    """Return the files below `root` that match, and what could not be had.

    Larger ones are copied to `held`/<position>; a folder that matches stands for all in it.
    """
    files: list[ReturnedFile] = []
    errors: list[str] = []
    room = INLINE_SUM_BYTES
    seen: set[bytes] = set()
    try:
        top = os.open(root, _FOLDER)
    except OSError as fault:
        return [], [f"{_show(root)}: {fault.strerror}"]
    try:
        for pattern in globs:
            before = len(seen)
            try:
                for path in _match(top, _split(pattern)):
                    if path not in seen and len(seen) < MANY:
                        seen.add(path)
                        files.append(_take(top, path, held / str(len(files)), min(room, INLINE_BYTES)))
                        room -= len(files[-1].inline_data)
            except (OSError, _BadPattern) as fault:
                errors.append(f"{_show(pattern)}: {_why(fault)}")
                continue
            if len(seen) == before and not any(_fits(path, pattern) for path in seen):
                errors.append(f"{_show(pattern)}: no such file")
        if len(seen) >= MANY:
            errors.append(f"more than {MANY} files match")
    finally:
        os.close(top)
    return files, errors


def _split(pattern: bytes) -> list[bytes]:
    parts = [part for part in pattern.split(b"/") if part not in (b"", b".")]
    if pattern.startswith(b"/") or b".." in parts:
        message = "leads out of the folder of the item"
        raise _BadPattern(message)
    return parts


def _fits(path: bytes, pattern: bytes) -> bool:
    return path == pattern or fnmatch.fnmatchcase(path, pattern)


def _match(top: int, parts: list[bytes], prefix: bytes = b"") -> Iterator[bytes]:
    """Yield the paths, relative to the folder `top`, of all regular files that match."""
    first, rest = (parts[0], parts[1:]) if parts else (b"**", [])
    if first == b"**":
        if rest:
            yield from _match(top, rest, prefix)
        for name, is_folder in _entries(top):
            if is_folder:
                yield from _below(top, name, parts, prefix)
            elif not rest:
                yield prefix + name
        return
    names = _entries(top) if _MAGIC.search(first) else _entry(top, first)
    for name, is_folder in names:
        if not _matches(name, first):
            continue
        if is_folder:
            yield from _below(top, name, rest, prefix)
        elif not rest:
            yield prefix + name


def _below(top: int, name: bytes, parts: list[bytes], prefix: bytes) -> Iterator[bytes]:
    descriptor = os.open(name, _FOLDER, dir_fd=top)
    try:
        yield from _match(descriptor, parts, prefix + name + b"/")
    finally:
        os.close(descriptor)


def _matches(name: bytes, pattern: bytes) -> bool:
    if not _MAGIC.search(pattern):
        return True
    hidden = name.startswith(b".") and not pattern.startswith(b".")
    return not hidden and fnmatch.fnmatchcase(name, pattern)


def _entries(top: int) -> list[tuple[bytes, bool]]:
    # scandir on a descriptor gives names as text, whatever bytes they are.
    with os.scandir(top) as entries:
        found = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
    return sorted(found)


def _entry(top: int, name: bytes) -> list[tuple[bytes, bool]]:
    try:
        mode = os.stat(name, dir_fd=top, follow_symlinks=False).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [(name, stat.S_ISDIR(mode))]


def _take(top: int, path: bytes, held: Path, inline_bytes: int) -> ReturnedFile:
    *folders, name = path.split(b"/")
    opened: list[int] = []
    try:
        at = top
        for folder in folders:
            at = os.open(folder, _FOLDER, dir_fd=at)
            opened.append(at)
        descriptor = os.open(name, _FILE, dir_fd=at)
        opened.append(descriptor)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            message = f"{_show(path)} is not a regular file"
            raise _BadPattern(message)
        answer = ReturnedFile(path=path, mode=stat.S_IMODE(status.st_mode))
        if status.st_size <= inline_bytes:
            data = os.read(descriptor, inline_bytes + 1)
            if len(data) <= inline_bytes:
                answer.inline_data = data
                answer.is_inline = True
                answer.size_bytes = len(data)
                answer.sha256 = hashlib.sha256(data).hexdigest()
                return answer
            os.lseek(descriptor, 0, os.SEEK_SET)
        answer.size_bytes, answer.sha256 = _copy(descriptor, held)
        return answer
    finally:
        for descriptor in reversed(opened):
            os.close(descriptor)


def _copy(source: int, held: Path) -> tuple[int, str]:
    """Copy while hashing: what is hashed is what will be sent, whatever happens to the original."""
    held.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    size = 0
    with held.open("wb") as target:
        while data := os.read(source, _BLOCK_BYTES):
            digest.update(data)
            target.write(data)
            size += len(data)
    return size, digest.hexdigest()


def _why(fault: OSError | _BadPattern) -> str:
    if isinstance(fault, _BadPattern):
        return str(fault)
    return "is, or lies behind, a symbolic link" if fault.errno == errno.ELOOP else str(fault.strerror)


def _show(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
