"""Files that only their owner may read: keys, passphrases, inventories with tokens."""

import contextlib
import os
import pathlib
import stat

from components.errors import GaxxError, Refused


def read(path: pathlib.Path) -> str:
    """Return the text; raise FileNotFoundError, and Refused when others can read or own it."""
    with path.open(encoding="utf-8") as file:
        fault = exposure(os.fstat(file.fileno()))
        if fault:
            message = f"{path} holds secrets and is {fault}"
            raise Refused(message, hint=f"chmod {'700' if path.is_dir() else '600'} {path}")
        return file.read()


def exposure(status: os.stat_result) -> str:
    """Say how others can get at it; "" when they cannot."""
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid():
        return f"owned by uid {status.st_uid}"
    return f"open to others (mode {mode:04o})" if mode & 0o077 else ""


def create(path: pathlib.Path, data: bytes) -> None:
    """Write a new file, private from its first byte; raise FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def replace(path: pathlib.Path, text: str) -> None:
    """Write the file whole or not at all: a reader sees the old text or the new one."""
    import tempfile

    folder(path.parent)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        pathlib.Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            pathlib.Path(temporary).unlink()
        raise


def folder(path: pathlib.Path) -> pathlib.Path:
    """Make a folder, and those above it, for its owner alone; what exists is left as it is. Raise GaxxError."""
    try:
        for missing in reversed([place for place in (path, *path.parents) if not place.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        message = f"{path} cannot be made: {error.strerror}"
        raise GaxxError(message) from error
    return path
