"""Files from nodes on their way into a folder: each into a file of its own beside it, checked, then renamed.

With one node they go to DIR/<path>. With several, a path goes there when all who have it have the same content,
and to DIR/<node>/<path> for each of them otherwise; which it is shows when all have answered. All methods block
and may be called from any thread.
"""

import collections.abc
import contextlib
import dataclasses
import fcntl
import hashlib
import itertools
import os
import pathlib
import secrets
import shutil
import threading
import time
import typing

from components.errors import GaxxError
from tasks.files import names
from tasks.files.folder import Folder
from tasks.files.results import FileFault, FileResult, NodeFault, State

_YOUNG_S = 60.0


@dataclasses.dataclass(slots=True)
class _Arrived:
    """One whole file of one node; `staged` is shared by nodes with equal content."""

    result: FileResult
    staged: pathlib.Path
    mode: int


class Arrivals:
    """The staging area of one `get`; a context manager that leaves none of it behind."""

    def __init__(self, target: str, *, several: bool) -> None:
        """Open the target folder. Raises GaxxError."""
        self.folder = Folder(target)
        self._several = several
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._arrived: dict[tuple[str, str], _Arrived] = {}
        self._by_content: dict[tuple[str, str], pathlib.Path] = {}
        self._folders: dict[tuple[str, str], int] = {}
        self._staging = pathlib.Path(target) / f"{names.STAGING_PREFIX}{secrets.token_hex(6)}"
        try:
            _sweep(pathlib.Path(target))
            self._staging.mkdir(mode=0o700)
            self._held = os.open(self._staging, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._held, fcntl.LOCK_EX)
        except OSError as error:
            message = f"{target} cannot be written: {(error.strerror or str(error)).lower()}"
            raise GaxxError(message) from error

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._staging, ignore_errors=True)
        os.close(self._held)
        self.folder.close()

    def begin(self, node: str, path: str, size_bytes: int, mode: int) -> "Arrival":
        """Take what a node announces. Raises FileFault for a bad name, NodeFault where it cannot fit."""
        why = names.why_unsafe(path)
        if why:
            raise FileFault(State.REFUSED, f"the name {why}")
        if size_bytes > self.folder.free_bytes:
            raise NodeFault(State.FAILED, self.folder.no_room(path))
        return Arrival(self, node, path, size_bytes, mode & 0o777, self._staging / str(next(self._numbers)))

    def add_folder(self, node: str, path: str, mode: int) -> None:
        """Take a folder that a node announces. Raises FileFault for a name that must not be used."""
        why = names.why_unsafe(path)
        if why:
            raise FileFault(State.REFUSED, f"the name {why}")
        with self._lock:
            self._folders[node, path] = mode & 0o777

    def add(self, arrival: "Arrival", digest: str) -> FileResult | None:
        """Take a whole file; return its result when it could be placed at once. Raises FileFault."""
        result = FileResult(arrival.node, arrival.path, State.FETCHED, arrival.size_bytes, digest)
        if not self._several:
            self.folder.move_in(arrival.staged, arrival.path, arrival.mode, keep=False)
            return dataclasses.replace(result, local=self.folder.shown(arrival.path))
        with self._lock:
            other = self._arrived.get((arrival.node, arrival.path))
            if other is not None and other.result.sha256 != digest:
                message = "two files of this node would have this name here; get them one at a time"
                raise FileFault(State.FAILED, message)
            staged = self._by_content.setdefault((arrival.path, digest), arrival.staged)
            if staged != arrival.staged:
                arrival.staged.unlink()
            self._arrived[arrival.node, arrival.path] = _Arrived(result, staged, arrival.mode)
        return None

    def place(self) -> collections.abc.Iterator[FileResult]:
        """Put everything where it belongs; one result a file."""
        targets = self._targets()
        for (node, path), mode in self._folders.items():
            with contextlib.suppress(FileFault):  # what is in it will say so
                self._place_folder(node, path, mode, targets)
        users: dict[pathlib.Path, int] = {}
        for arrived in self._arrived.values():
            users[arrived.staged] = users.get(arrived.staged, 0) + 1
        placed: dict[str, FileResult] = {}
        for key, arrived in self._arrived.items():
            users[arrived.staged] -= 1
            target = targets[key]
            try:
                if target not in placed:
                    self.folder.move_in(arrived.staged, target, arrived.mode, keep=users[arrived.staged] > 0)
                    placed[target] = arrived.result
                yield dataclasses.replace(arrived.result, local=self.folder.shown(target))
            except FileFault as fault:
                yield dataclasses.replace(arrived.result, state=fault.state, error=fault.text)
        self.folder.finish()

    def _place_folder(self, node: str, path: str, mode: int, targets: dict[tuple[str, str], str]) -> None:
        own = f"{node}/{path}/"
        if any(target.startswith(own) for target in targets.values()):
            path = f"{node}/{path}"
        self.folder.make(path, mode)

    def _targets(self) -> dict[tuple[str, str], str]:
        digests: dict[str, set[str]] = {}
        for (_, path), arrived in self._arrived.items():
            digests.setdefault(path, set()).add(arrived.result.sha256)
        targets = {(node, path): path if len(digests[path]) == 1 else f"{node}/{path}" for node, path in self._arrived}
        if _clash(targets, {path for _, path in self._folders}):
            # One's file is the other's folder, or a path begins with a node's name: only this is free of doubt.
            return {(node, path): f"{node}/{path}" for node, path in targets}
        return targets


def _clash(targets: dict[tuple[str, str], str], folders: set[str]) -> bool:
    """Whether two different files meet at one place, or a file is where a folder must be."""
    paths: dict[str, str] = {}
    above = set(folders)
    for (_, path), target in targets.items():
        if paths.setdefault(target, path) != path:
            return True
        parts = target.split("/")
        above.update("/".join(parts[:count]) for count in range(1, len(parts)))
    return not above.isdisjoint(paths)


def _sweep(target: pathlib.Path) -> None:
    """Remove what a killed `get` left: a staging folder that nobody holds, and that is not just being made."""
    for old in target.glob(f"{names.STAGING_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - old.lstat().st_mtime < _YOUNG_S:
                continue
            descriptor = os.open(old, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(old)
            finally:
                os.close(descriptor)


class Arrival:
    """One file that is arriving. A context manager: what did not get through `finish` is gone."""

    def __init__(
        self, arrivals: Arrivals, node: str, path: str, size_bytes: int, mode: int, staged: pathlib.Path
    ) -> None:
        self._arrivals = arrivals
        self.node, self.path, self.size_bytes, self.mode, self.staged = node, path, size_bytes, mode, staged
        self._hash = hashlib.sha256()
        self._got_bytes = 0
        self._taken = False
        try:
            self._file = staged.open("xb", buffering=0)
        except OSError as error:
            fault = arrivals.folder.fault(error, path)
            raise NodeFault(fault.state, fault.text) from error

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self._taken:
            self.staged.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Append. Raises FileFault when more comes than was announced, NodeFault where it cannot be written."""
        self._got_bytes += len(data)
        if self._got_bytes > self.size_bytes:
            raise FileFault(State.REFUSED, f"more came than the {self.size_bytes} bytes announced")
        self._hash.update(data)
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) or 0 :]
        except OSError as error:
            # Nothing else will fit either.
            fault = self._arrivals.folder.fault(error, self.path)
            raise NodeFault(fault.state, fault.text) from error

    def finish(self, digest: str) -> FileResult | None:
        """Check against the digest that the node announced; return the result when it is placed already.

        Raises FileFault.
        """
        self._file.close()
        found = self._hash.hexdigest()
        if self._got_bytes != self.size_bytes:
            raise FileFault(State.FAILED, f"only {self._got_bytes} of {self.size_bytes} bytes came")
        if found != digest:
            raise FileFault(State.REFUSED, "what arrived has not the sha256 that the node announced")
        result = self._arrivals.add(self, found)
        self._taken = True
        return result
