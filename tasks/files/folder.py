"""A local folder that files from nodes are put into: by descriptors all the way, following no link inside of it."""

import contextlib
import errno
import os
import pathlib
import stat
from collections.abc import Iterator, Sequence

from components.errors import GaxxError
from tasks.files.results import FileFault, State

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Folder:
    """An open folder; where it lies, and whether that is a link, is the user's business."""

    def __init__(self, path: str) -> None:
        """Make it when absent. Raises GaxxError."""
        self.path = path
        self._made: dict[str, int] = {}
        try:
            pathlib.Path(path).mkdir(parents=True, exist_ok=True)
            self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            message = f"{path} is no folder that can be written: {(error.strerror or str(error)).lower()}"
            raise GaxxError(message) from error

    def close(self) -> None:
        """Close it."""
        os.close(self.descriptor)

    @property
    def free_bytes(self) -> int:
        """What still fits."""
        state = os.fstatvfs(self.descriptor)
        return state.f_bavail * state.f_frsize

    def shown(self, path: str) -> str:
        """The path as the user would write it."""
        return os.path.join(self.path, path)  # noqa: PTH118 - keeps "pics//" and "." as they were typed

    def move_in(self, staged: pathlib.Path, path: str, mode: int, *, keep: bool) -> None:
        """Rename a whole file to `path`, or copy it and rename the copy when it is to be kept. Raises FileFault."""
        with self._parent(path) as (at, name):
            if keep or not self._renamed(staged, at, name, mode, path):
                self._copied(staged, at, name, mode, path)

    def make(self, path: str, mode: int) -> None:
        """Make a folder; its mode is set by `finish`. Raises FileFault."""
        with self._parent(f"{path}/x"):
            if path in self._made:
                self._made[path] = mode

    def finish(self) -> None:
        """Give the folders that were made here their modes, the deepest first: one may close itself to us."""
        for path, mode in sorted(self._made.items(), reverse=True):
            with contextlib.suppress(OSError, FileFault), self._parent(f"{path}/x") as (at, _):
                os.fchmod(at, mode)

    def _renamed(self, staged: pathlib.Path, at: int, name: str, mode: int, path: str) -> bool:
        try:
            staged.chmod(mode)
            os.rename(staged, name, dst_dir_fd=at)
        except OSError as error:
            if error.errno == errno.EXDEV:
                return False
            raise self.fault(error, path) from error
        return True

    def _copied(self, staged: pathlib.Path, at: int, name: str, mode: int, path: str) -> None:
        import secrets
        import shutil

        temporary = f".{os.fsdecode(os.fsencode(name)[:100])}.{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(temporary, flags, 0o600, dir_fd=at)
            try:
                with os.fdopen(descriptor, "wb") as target, staged.open("rb") as source:
                    shutil.copyfileobj(source, target, 1024 * 1024)
                    target.flush()
                    os.fchmod(target.fileno(), mode)
                os.rename(temporary, name, src_dir_fd=at, dst_dir_fd=at)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=at)
                raise
        except OSError as error:
            raise self.fault(error, path) from error

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        *folders, name = path.split("/")
        try:
            at = self._walk(folders)
        except OSError as error:
            raise self.fault(error, path) from error
        try:
            yield at, name
        finally:
            os.close(at)

    def _walk(self, parts: Sequence[str]) -> int:
        at = os.dup(self.descriptor)
        walked = ""
        for part in parts:
            walked = f"{walked}/{part}" if walked else part
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=at)
                    self._made[walked] = stat.S_IMODE(os.stat(part, dir_fd=at, follow_symlinks=False).st_mode)
                try:
                    deeper = os.open(part, _FOLDER, dir_fd=at)
                except OSError as error:
                    if stat.S_ISLNK(os.stat(part, dir_fd=at, follow_symlinks=False).st_mode):
                        text = f"{self.shown(walked)} is a symbolic link, which is not followed"
                        raise FileFault(State.REFUSED, text) from error
                    raise
            finally:
                os.close(at)
            at = deeper
        return at

    def fault(self, error: OSError, path: str) -> FileFault:
        """Say what went wrong with `path` here."""
        if error.errno in _NO_ROOM:
            return FileFault(State.FAILED, self.no_room(path))
        return FileFault(State.FAILED, f"{self.shown(path)}: {(error.strerror or str(error)).lower()}")

    def no_room(self, path: str) -> str:
        """The words for a full disk."""
        return f"no space left here: {self.shown(path)} does not fit, {self.free_bytes} bytes are free"
