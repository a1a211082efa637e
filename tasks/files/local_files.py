"""What is to be sent: files found once, hashed once however many nodes want them."""

import asyncio
import collections.abc
import dataclasses
import fnmatch
import hashlib
import os
import pathlib
import stat

from components.errors import GaxxError
from tasks.files import names

_HASHERS = 2
"""Files hashed at once: it is processor time, and the transfer wants some too."""


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """One local file and where it goes."""

    local: str
    remote: str
    """On the node: absolute, or relative to the principal's work folder."""
    size_bytes: int
    mode: int
    mtime_ns: int

    def changed(self) -> bool:
        """Whether the file is another one, or gone, since it was found."""
        try:
            state = pathlib.Path(self.local).stat()
        except OSError:
            return True
        return (state.st_size, state.st_mtime_ns) != (self.size_bytes, self.mtime_ns)


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What goes to every node."""

    sources: tuple[Source, ...]
    folders: frozenset[str] = frozenset()
    """Remote paths of all folders, also empty ones, which no node is told of."""
    skipped: tuple[tuple[str, str], ...] = ()
    """Remote paths of what cannot be sent, and why."""

    @property
    def total_bytes(self) -> int:
        """Of one copy."""
        return sum(source.size_bytes for source in self.sources)


def split_destination(words: collections.abc.Sequence[str], to: str) -> tuple[list[str], str, bool]:
    """Tell FILEs from DEST in `FILE… [DEST]`; return them and whether DEST is a folder to put things into.

    The last word is DEST when it ends with a slash, or when there is one FILE before it and it names nothing here.
    """
    if to:
        return list(words), to, to.endswith("/") or len(words) > 1
    *files, last = words
    if files and last.endswith("/"):
        return files, last, True
    if files and not os.path.lexists(last) and not _matches(last):
        if len(files) == 1 and not names.MAGIC & set(files[0]):
            return files, last, False
        message = f"{last}: no such file here"
        raise GaxxError(message, hint=f"a folder on the nodes ends with a slash: {last}/")
    return list(words), "", True


def plan_put(
    words: collections.abc.Sequence[str], *, to: str = "", exclude: collections.abc.Sequence[str] = ()
) -> Plan:
    """Find the FILEs (paths, globs, folders with all in them). Raise GaxxError, also for what cannot be read."""
    files, destination, into = split_destination(words, to)
    base = names.normal(destination) if destination.strip("/") else destination
    finder = _Finder(exclude)
    for path in _expanded(files):
        if into:
            name = pathlib.Path(path).name or pathlib.Path(path).resolve().name
            finder.add(path, names.joined(base, name))
        else:
            finder.add(path, base)
    return finder.plan()


def plan_sync(folder: str, *, to: str = "", exclude: collections.abc.Sequence[str] = ()) -> tuple[Plan, str]:
    """Find all in a folder; return also the folder on the nodes that becomes like it."""
    if not pathlib.Path(folder).is_dir():
        message = f"{folder}: no such folder here"
        raise GaxxError(message, hint="for single files: gaxx put")
    target = names.normal(to) if to else pathlib.Path(folder).resolve().name
    finder = _Finder(exclude)
    finder.add_folder(folder, target, "")
    return finder.plan(), target


def _expanded(words: collections.abc.Iterable[str]) -> list[str]:
    found: list[str] = []
    for word in words:
        if os.path.lexists(word):
            found.append(word)
            continue
        # Quoted for the shell, or called from a program: then the wildcards are ours.
        matches = _matches(word)
        if not matches:
            message = f"{word}: no such file here"
            raise GaxxError(message)
        found += matches
    return found


def _matches(word: str) -> list[str]:
    import glob

    # Not pathlib's: that one shows hidden files to a plain star.
    return sorted(glob.glob(word, recursive=True)) if names.MAGIC & set(word) else []  # noqa: PTH207


class _Finder:
    def __init__(self, exclude: collections.abc.Sequence[str]) -> None:
        self._exclude = exclude
        self._sources: dict[str, Source] = {}
        self._folders: set[str] = set()
        self._skipped: dict[str, str] = {}

    def plan(self) -> Plan:
        """What was found so far."""
        return Plan(tuple(self._sources.values()), frozenset(self._folders), tuple(self._skipped.items()))

    def add(self, path: str, remote: str) -> None:
        """Add what a person named: a link is followed."""
        try:
            state = pathlib.Path(path).stat()
        except OSError as error:
            raise _unreadable(path, error) from error
        if stat.S_ISDIR(state.st_mode):
            self.add_folder(path, remote, "")
        elif stat.S_ISREG(state.st_mode):
            self._add_file(path, remote, state)
        else:
            message = f"{path}: neither a file nor a folder"
            raise GaxxError(message)

    def add_folder(self, path: str, remote: str, below: str) -> None:
        """Add all in a folder; `below` is its path below the one that was named."""
        self._folders.add(remote)
        try:
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise _unreadable(path, error) from error
        for entry in found:
            inner = f"{below}/{entry.name}" if below else entry.name
            if not any(fnmatch.fnmatchcase(text, glob) for glob in self._exclude for text in (entry.name, inner)):
                self._add_entry(entry, names.joined(remote, entry.name), inner)

    def _add_entry(self, entry: "os.DirEntry[str]", remote: str, inner: str) -> None:
        if entry.is_dir(follow_symlinks=False):
            self.add_folder(entry.path, remote, inner)
            return
        try:
            state = entry.stat()
        except FileNotFoundError:
            self._skipped[remote] = "a link to nothing"
            return
        except OSError as error:
            raise _unreadable(entry.path, error) from error
        if stat.S_ISREG(state.st_mode):
            self._add_file(entry.path, remote, state)
        else:
            # A folder behind a link may be anywhere, this folder itself included.
            self._skipped[remote] = "a link to a folder" if stat.S_ISDIR(state.st_mode) else "not a regular file"

    def _add_file(self, path: str, remote: str, state: os.stat_result) -> None:
        try:
            remote.encode()
        except UnicodeEncodeError as error:
            shown = os.fsencode(path).decode("utf-8", "backslashreplace")
            message = f"{shown}: the name is not UTF-8, which is all that the way to a node carries"
            raise GaxxError(message, hint="rename it, or --exclude it") from error
        other = self._sources.get(remote)
        if other is not None and not pathlib.Path(other.local).samefile(path):
            message = f"{other.local} and {path} would both be {remote}"
            raise GaxxError(message, hint="put them one at a time, into different folders")
        if not os.access(path, os.R_OK):
            raise _unreadable(path, PermissionError(13, "Permission denied"))
        mode = stat.S_IMODE(state.st_mode)
        self._sources[remote] = Source(path, remote, state.st_size, mode, state.st_mtime_ns)


def _unreadable(path: str, error: OSError) -> GaxxError:
    return GaxxError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}")


class Digests:
    """sha256 of local files in hex, each computed once, when the first node wants it."""

    def __init__(self) -> None:
        self._found: dict[str, asyncio.Task[str]] = {}
        self._turn = asyncio.Semaphore(_HASHERS)

    async def of(self, source: Source) -> str:
        """Return the digest. Raises OSError."""
        task = self._found.get(source.remote)
        if task is None:
            task = self._found[source.remote] = asyncio.ensure_future(self._compute(source))
        # One waiter's cancellation is not the others'.
        return await asyncio.shield(task)

    async def _compute(self, source: Source) -> str:
        async with self._turn:
            return await asyncio.to_thread(digest_of, source.local)


def digest_of(path: str) -> str:
    """sha256 of a file in hex. Raises OSError."""
    with pathlib.Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
