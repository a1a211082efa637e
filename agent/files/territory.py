"""Paths that callers name: walked one component after the other without ever following a link.

An item may put a symbolic link where a file is expected; the agent, which has other rights than the item,
must not be led by it. Nor may a caller reach the agent's own keys, sockets or stores.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class PathRefused(Exception):  # noqa: N818 - reads as what happened
    """The path leads where it must not, or through a link; the message says which part."""


class Territory:
    """What callers may name: their folder below `work_dir`, and absolute paths outside of `own` folders."""

    def __init__(self, work_dir: Path, own: Sequence[Path]) -> None:
        self.work_dir = work_dir.resolve()
        self._own = tuple(own)

    def split(self, home: Path, path: str) -> tuple[Path, tuple[str, ...]]:
        """Return where the walk begins and its components. Raises PathRefused."""
        parts = tuple(part for part in path.split("/") if part not in ("", "."))
        if "\0" in path or ".." in parts:
            message = f"{path!r}: a path may contain neither '..' nor a zero byte"
            raise PathRefused(message)
        if not path.startswith("/"):
            return self.work_dir, (*home.relative_to(self.work_dir).parts, *parts)
        whole = Path("/", *parts)
        if whole.is_relative_to(self.work_dir):
            parts = whole.relative_to(self.work_dir).parts
            if not parts or parts[0].startswith("."):
                message = f"{path}: belongs to the agent"
                raise PathRefused(message)
            return self.work_dir, parts
        return Path("/"), parts

    def open_folder(self, name: str, at: int, shown: str) -> int:
        """Open a folder inside the folder `at`. Raises PathRefused when it is a link or the agent's own, OSError."""
        try:
            descriptor = os.open(name, _FOLDER, dir_fd=at)
        except OSError as fault:
            if fault.errno in (errno.ELOOP, errno.ENOTDIR) and is_link(name, at):
                message = f"{shown}: is a symbolic link, which is not followed"
                raise PathRefused(message) from fault
            raise OSError(fault.errno, os.strerror(fault.errno or 0), shown) from fault
        state = os.fstat(descriptor)
        if (state.st_dev, state.st_ino) in self._own_folders():
            os.close(descriptor)
            message = f"{shown}: belongs to the agent"
            raise PathRefused(message)
        return descriptor

    def _own_folders(self) -> set[tuple[int, int]]:
        """Return what the agent's own folders are, whatever path leads to them."""
        found = set()
        for folder in (*self._own, *self.work_dir.glob(".*")):
            with contextlib.suppress(OSError):
                state = folder.stat()
                found.add((state.st_dev, state.st_ino))
        return found

    @contextlib.contextmanager
    def parent(self, home: Path, path: str, *, makes: bool) -> Iterator[tuple[int, str]]:
        """Open the folder of `path`; yield its descriptor and the last component.

        Missing folders are made on `makes`. Raises PathRefused, OSError.
        """
        root, parts = self.split(home, path)
        if not parts:
            message = f"{path!r}: names no file"
            raise PathRefused(message)
        descriptor = self._walk(root, parts[:-1], makes=makes)
        try:
            yield descriptor, parts[-1]
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def folder(self, home: Path, path: str) -> Iterator[int]:
        """Open a folder. Raises PathRefused, OSError."""
        root, parts = self.split(home, path)
        descriptor = self._walk(root, parts, makes=False)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _walk(self, root: Path, parts: Sequence[str], *, makes: bool) -> int:
        at = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        walked = root
        for part in parts:
            walked /= part
            try:
                if makes:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o770, dir_fd=at)
                deeper = self.open_folder(part, at, str(walked))
            finally:
                os.close(at)
            at = deeper
        return at


def open_file(name: str, at: int, shown: str) -> int:
    """Open a regular file inside the folder `at` for reading. Raises PathRefused, OSError."""
    try:
        # Without O_NONBLOCK a pipe would wait for its writer.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    except OSError as fault:
        if fault.errno == errno.ELOOP:
            message = f"{shown}: is a symbolic link, which is not followed"
            raise PathRefused(message) from fault
        raise OSError(fault.errno, os.strerror(fault.errno or 0), shown) from fault
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        message = f"{shown}: is no regular file"
        raise PathRefused(message)
    return descriptor


def is_link(name: str, at: int) -> bool:
    """Whether the entry is a symbolic link."""
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode)
    except OSError:
        return False
