"""What items wrote and returned, on the controller: outputs packed into one file, returned files where the user is.

Everything of an attempt is stored before its line is journalled, and its line before the node may forget it.
"""

import contextlib
import hashlib
import os
import pathlib
import shutil
import typing

from tasks.work.errors import JournalError

OUTPUTS = "outputs"
LARGE = "large"
OUT_DIGITS = 16


class Stored(typing.NamedTuple):
    """Where an output lies: (offset, length) in the packed file; offset -1: in a file of its own."""

    offset: int
    length: int


class ReturnedFileError(Exception):
    """A returned file may not be stored under its name; the message says why."""


class ResultStore:
    """The results of one run. `results` is the user's folder of one folder an item, "" when there is none."""

    def __init__(
        self, folder: pathlib.Path, *, results: str = "", returns_to: str = ".", collide: bool = False
    ) -> None:
        self._folder = folder
        self._large = folder / LARGE
        self._results = pathlib.Path(results).absolute() if results else None
        self._returns_to = self._results if self._results and collide else pathlib.Path(returns_to).absolute()
        self._collide = collide
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(folder / OUTPUTS, flags, 0o600)
            self._size = os.fstat(self._descriptor).st_size
        except OSError as error:
            raise _storing(error) from error
        self._buffer: list[bytes] = []
        self._dirty = False

    def put(self, output: bytes) -> Stored:
        """Store one output; on disk after `flush`."""
        stored = Stored(self._size, len(output))
        self._size += len(output)
        self._buffer.append(output)
        return stored

    def flush(self) -> None:
        """Write what was put; raise JournalError (disk full) with nothing written."""
        if not self._buffer:
            return
        data = b"".join(self._buffer)
        self._buffer.clear()
        begin = self._size - len(data)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, begin)
            self._size = begin
            raise _storing(error) from error
        self._dirty = True

    def sync(self) -> None:
        """Have it on disk; raise JournalError. May be called from another thread."""
        if not self._dirty:
            return
        self._dirty = False
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise _storing(error) from error

    def read(self, stored: Stored, name: str = "") -> bytes:
        """Return a stored output; `name` (see `large`) for one in a file of its own."""
        if stored.offset < 0:
            return self.large(name).read_bytes()
        return os.pread(self._descriptor, stored.length, stored.offset)

    def large(self, name: str) -> pathlib.Path:
        """Where an output lies that was fetched in chunks: `<index>.<attempt>.stdout`."""
        self._large.mkdir(mode=0o700, exist_ok=True)
        return self._large / name

    def item_folder(self, index: int, item: bytes) -> pathlib.Path | None:
        """Make and return the item's folder in the user's `--results`; None when there is none."""
        if self._results is None:
            return None
        folder = self._results / str(index + 1)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "item").write_bytes(item)
        except OSError as error:
            raise _storing(error) from error
        return folder

    def target(self, index: int, path: bytes) -> pathlib.Path:
        """Where a returned file goes; raise ReturnedFileError when its name leads out of there."""
        parts = [os.fsdecode(part) for part in path.split(b"/")]
        if path.startswith(b"/") or not path or any(part in ("", ".", "..") or "\0" in part for part in parts):
            message = f"{os.fsdecode(path)!r} leads out of the folder for returned files"
            raise ReturnedFileError(message)
        base = self._returns_to / str(index + 1) if self._collide else self._returns_to
        return base.joinpath(*parts)

    def store_file(self, index: int, path: bytes, mode: int, data: bytes | pathlib.Path) -> pathlib.Path:
        """Put a returned file, whose digest was checked, in its place at once; raise JournalError, ReturnedFileError.

        `data` is the content, or a temporary file beside which nothing else is needed.
        """
        target = self.target(index, path)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(data, pathlib.Path):
                shutil.move(data, temporary)
            else:
                temporary.write_bytes(data)
            # Neither set-user-ID nor writable for others, whatever the node says.
            temporary.chmod(mode & 0o755 | 0o600)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise _storing(error) from error
        return target

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def out_digest(output: bytes) -> str:
    """Name an output by its bytes, for comparing runs."""
    return hashlib.sha256(output).hexdigest()[:OUT_DIGITS] if output else ""


def _storing(error: OSError) -> JournalError:
    where = f"{error.filename}: " if error.filename else ""
    message = f"results cannot be stored: {where}{error.strerror}"
    return JournalError(message, hint="nothing is lost: free some space, then go on with --resume")
