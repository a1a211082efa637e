"""A file on its way onto the node: collected under its digest, resumed there, renamed into place when whole."""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import stat
import time
from pathlib import Path

from agent.files.territory import PathRefused, Territory, open_file

PARTS_KEPT_S = 24 * 3600.0
"""A part that nobody has continued for so long is dropped."""

_COPY_BYTES = 1024 * 1024
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class NoRoom(Exception):  # noqa: N818 - reads as what is wrong
    """The disk is full; the message says how much was needed and is there."""


class WrongDigest(Exception):  # noqa: N818
    """What arrived is not what was announced."""


class Store:
    """Parts by digest, and a note of where each digest was put, so that no byte need come twice."""

    def __init__(self, folder: Path, territory: Territory) -> None:
        self.folder = folder
        self.territory = territory
        self._busy: set[str] = set()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._forget_old()

    def begin(self, home: Path, path: str, digest: str, size_bytes: int, mode: int) -> "Incoming":
        """Check what is announced of one file. Raises PathRefused."""
        if len(digest) != hashlib.sha256().digest_size * 2 or not all(
            letter in "0123456789abcdef" for letter in digest
        ):
            message = f"{digest[:80]!r} is no sha256 in hex"
            raise PathRefused(message)
        self.territory.split(home, path)
        return Incoming(self, home, path, digest, size_bytes, mode)

    def take(self, digest: str) -> bool:
        """Reserve the digest's part for one writer; False when another has it."""
        if digest in self._busy:
            return False
        self._busy.add(digest)
        return True

    def give_back(self, digest: str) -> None:
        """Let the next writer continue the part."""
        self._busy.discard(digest)

    def note(self, digest: str, home: Path, path: str) -> None:
        """Remember where the content was put. Losing the note costs a transfer, nothing else."""
        with contextlib.suppress(OSError):
            where = path if path.startswith("/") else str(home / path)
            (self.folder / f"{digest}.at").write_text(where, encoding="utf-8", errors="surrogateescape")

    def noted(self, digest: str) -> str:
        """Return an absolute path that had this content once; empty when none is known."""
        try:
            return (self.folder / f"{digest}.at").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return ""

    def _forget_old(self) -> None:
        horizon = time.time() - PARTS_KEPT_S
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < horizon:
                    path.unlink()


class Incoming:
    """One file being stored. `have_bytes` are here already; all methods block and belong in a thread."""

    def __init__(self, store: Store, home: Path, path: str, digest: str, size_bytes: int, mode: int) -> None:
        self._store = store
        self._home = home
        self._path = path
        self._digest = digest
        self._size_bytes = size_bytes
        # No set-user-id: the file is the agent's, and an item must not become the agent by running it.
        self._mode = mode & 0o777 or 0o644
        self._hash = hashlib.sha256()
        self._part: Path | None = None
        self._descriptor = -1
        self._is_shared = False
        self.have_bytes = 0

    def prepare(self) -> None:
        """Find what is here already: the file itself, the same content elsewhere, or a part of it.

        Raises PathRefused, NoRoom, OSError.
        """
        if self._is_in_place() or self._copy_from_elsewhere():
            self.have_bytes = self._size_bytes
            return
        if self._store.take(self._digest):
            self._is_shared = True
            self._part = self._store.folder / f"{self._digest}.part"
        else:
            # The same content is arriving in another call: two writers must not share a part.
            self._part = self._store.folder / f"{self._digest}.{secrets.token_hex(8)}.part"
        self._descriptor = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        while data := os.read(self._descriptor, _COPY_BYTES):
            self._hash.update(data)
            self.have_bytes += len(data)
        if self.have_bytes > self._size_bytes:
            self._restart()
        self._require_room()

    def write(self, data: bytes) -> None:
        """Append. Raises NoRoom, WrongDigest when more comes than was announced."""
        if self._descriptor < 0:
            return
        self.have_bytes += len(data)
        if self.have_bytes > self._size_bytes:
            self.discard()
            message = f"{self._path}: more than the {self._size_bytes} bytes announced"
            raise WrongDigest(message)
        self._hash.update(data)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as fault:
            raise self._fault(fault) from fault

    def finish(self) -> None:
        """Check the digest and rename into place. Raises WrongDigest, NoRoom, PathRefused, OSError."""
        if self._descriptor < 0:
            return
        if self.have_bytes != self._size_bytes or self._hash.hexdigest() != self._digest:
            self.discard()
            message = f"{self._path}: what arrived has not the announced sha256"
            raise WrongDigest(message)
        try:
            self._place()
        except PathRefused:
            self.discard()
            raise
        except OSError as fault:
            raise self._fault(fault) from fault
        self.close()
        self._store.note(self._digest, self._home, self._path)

    def close(self) -> None:
        """Close, keeping a part for later."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._is_shared:
            self._is_shared = False
            self._store.give_back(self._digest)
        elif self._part is not None:
            self._part.unlink(missing_ok=True)

    def discard(self) -> None:
        """Close and remove the part."""
        part = self._part
        self.close()
        if part is not None:
            part.unlink(missing_ok=True)

    def _restart(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._hash = hashlib.sha256()
        self.have_bytes = 0

    def _require_room(self) -> None:
        state = os.fstatvfs(self._descriptor)
        free = state.f_bavail * state.f_frsize
        if self._size_bytes - self.have_bytes > free:
            raise self._no_room()

    def _fault(self, fault: OSError) -> Exception:
        """Turn a full disk into NoRoom; the part goes, because it is what fills the disk."""
        return self._no_room() if fault.errno in _NO_ROOM else fault

    def _no_room(self) -> NoRoom:
        self.discard()
        state = os.statvfs(self._store.folder)
        free = state.f_bavail * state.f_frsize
        return NoRoom(f"no space left on the node: {self._path} has {self._size_bytes} bytes, {free} are free")

    def _is_in_place(self) -> bool:
        try:
            with self._store.territory.parent(self._home, self._path, makes=False) as (folder, name):
                descriptor = open_file(name, folder, self._path)
                try:
                    if not self._is_the_content(descriptor):
                        return False
                    os.fchmod(descriptor, self._wanted_mode())
                finally:
                    os.close(descriptor)
        except OSError:
            # Not there, mostly; otherwise placing it will say what is wrong.
            return False
        return True

    def _copy_from_elsewhere(self) -> bool:
        where = self._store.noted(self._digest)
        if not where:
            return False
        try:
            with self._store.territory.parent(self._home, where, makes=False) as (folder, name):
                descriptor = open_file(name, folder, where)
        except (OSError, PathRefused):
            return False
        try:
            if not self._is_the_content(descriptor):
                return False
            os.lseek(descriptor, 0, os.SEEK_SET)
            self._copy_into_place(descriptor)
        except OSError as fault:
            raise self._fault(fault) from fault
        finally:
            os.close(descriptor)
        return True

    def _is_the_content(self, descriptor: int) -> bool:
        if os.fstat(descriptor).st_size != self._size_bytes:
            return False
        found = hashlib.sha256()
        while data := os.read(descriptor, _COPY_BYTES):
            found.update(data)
        return found.hexdigest() == self._digest

    def _wanted_mode(self) -> int:
        # Where agent and items are different users, the work folder is set-group-id: the group is the items'.
        if self._store.territory.work_dir.stat().st_mode & stat.S_ISGID:
            return self._mode | (self._mode >> 3) & 0o070
        return self._mode

    def _place(self) -> None:
        assert self._part is not None  # noqa: S101 - there is a descriptor
        os.fchmod(self._descriptor, self._wanted_mode())
        with self._store.territory.parent(self._home, self._path, makes=True) as (folder, name):
            try:
                os.rename(self._part, name, dst_dir_fd=folder)
            except OSError as fault:
                if fault.errno != errno.EXDEV:
                    raise OSError(fault.errno, os.strerror(fault.errno or 0), self._path) from fault
                os.lseek(self._descriptor, 0, os.SEEK_SET)
                self._copy_beside(self._descriptor, folder, name)
                self._part.unlink(missing_ok=True)

    def _copy_into_place(self, source: int) -> None:
        with self._store.territory.parent(self._home, self._path, makes=True) as (folder, name):
            self._copy_beside(source, folder, name)

    def _copy_beside(self, source: int, folder: int, name: str) -> None:
        """Copy into the target's own folder under another name, then rename: never half a file."""
        temporary = f".{name[:100]}.{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as target, os.fdopen(os.dup(source), "rb") as whole:
                shutil.copyfileobj(whole, target, _COPY_BYTES)
                os.fchmod(descriptor, self._wanted_mode())
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
