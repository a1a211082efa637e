"""The engine's event log: what it does, in lines of JSON, for as long as somebody reads them.

It may hold what is in a diff: a private file that goes at once, and where its reader was killed, with the next one.
"""

import collections.abc
import contextlib
import fcntl
import json
import os
import pathlib
import tempfile
import typing

from components import places


@contextlib.contextmanager
def event_log() -> collections.abc.Iterator[pathlib.Path]:
    """Make an empty one, which is gone after the block; remove those whose readers are gone."""
    folder = places.cache_dir() / "event-logs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _sweep(folder)
    descriptor, path = _held(folder)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def of_kind(events: pathlib.Path, kind: str) -> collections.abc.Iterator[dict[str, typing.Any]]:
    """Yield what the log says of one kind of event; a line that the engine's end has cut short says nothing."""
    for line in events.read_text(encoding="utf-8", errors="replace").splitlines():
        # Most lines are of other kinds, and some are long.
        if f'"{kind}"' in line:
            with contextlib.suppress(ValueError):
                yield json.loads(line).get(kind, {})


def _held(folder: pathlib.Path) -> tuple[int, pathlib.Path]:
    """A new file and its lock, which the reader's death lets go of: programs that it starts have no part in it."""
    while True:
        descriptor, name = tempfile.mkstemp(prefix="gaxx-events-", dir=folder)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, pathlib.Path(name)
        # Somebody swept it in the moment before it was locked.
        os.close(descriptor)


def _sweep(folder: pathlib.Path) -> None:
    for path in folder.glob("gaxx-events-*"):
        # Read by somebody, or swept by somebody else.
        with contextlib.suppress(BlockingIOError, FileNotFoundError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
