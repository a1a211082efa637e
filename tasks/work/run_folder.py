"""The folder of one run on the controller: manifest, input, journal, outputs; and who drives the run just now."""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import typing

from components import places
from components.errors import GaxxError
from tasks import private
from tasks.work.errors import JournalError
from tasks.work.options import MapOptions

MANIFEST = "manifest.json"
JOURNAL = "journal.jsonl"
LOCK = "controller.lock"
VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class RunFolder:
    """A run on disk."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.id = path.name

    @property
    def manifest(self) -> pathlib.Path:
        """What the run is."""
        return self.path / MANIFEST

    @property
    def journal(self) -> pathlib.Path:
        """What has become of its items, unless `--journal` put it elsewhere."""
        own = self.path / JOURNAL
        return pathlib.Path(os.path.realpath(own)) if own.is_symlink() else own

    def sent(self, sha256: str) -> pathlib.Path:
        """Where the run keeps its own copy of a file that the nodes need: the original may change."""
        return self.path / "files" / sha256

    def keep(self, source: pathlib.Path, sha256: str) -> None:
        """Copy a file that the nodes need; raise GaxxError."""
        try:
            self.sent(sha256).parent.mkdir(mode=0o700, exist_ok=True)
            shutil.copyfile(source, self.sent(sha256))
        except OSError as error:
            message = f"{error.filename}: {error.strerror}"
            raise GaxxError(message) from error

    @classmethod
    def create(cls, run_id: str, *, journal: pathlib.Path | None = None) -> "RunFolder":
        """Make the folder of a new run; raise GaxxError."""
        folder = cls(private.folder(runs_dir()) / run_id)
        try:
            folder.path.mkdir(mode=0o700)
            if journal is not None:
                (folder.path / JOURNAL).symlink_to(journal.absolute())
        except OSError as error:
            message = f"{folder.path} cannot be made: {error.strerror}"
            raise GaxxError(message) from error
        return folder

    def write_manifest(self, data: dict[str, typing.Any]) -> None:
        """Store the manifest whole; raise GaxxError."""
        try:
            private.replace(self.manifest, json.dumps({"version": VERSION, "run": self.id, **data}, indent=1))
        except OSError as error:
            message = f"{self.manifest} cannot be written: {error.strerror}"
            raise GaxxError(message) from error

    def read_manifest(self) -> dict[str, typing.Any]:
        """Return the manifest; raise GaxxError when it is missing, damaged or of another version."""
        try:
            data = json.loads(private.read(self.manifest))
        except FileNotFoundError as error:
            message = f"run {self.id} has no manifest: it was never begun"
            raise GaxxError(message, hint=f"remove {self.path}") from error
        except ValueError as error:
            message = f"{self.manifest}: damaged: {error}"
            raise GaxxError(message) from error
        if not isinstance(data, dict) or data.get("version") != VERSION:
            message = f"{self.manifest}: not a manifest of version {VERSION}"
            raise GaxxError(message)
        return data

    @property
    def created_s(self) -> float:
        """When it was begun, as Unix time: names tell it to the second only."""
        created = self.read_manifest().get("created")
        return float(created) if isinstance(created, int | float) else 0.0

    def options(self) -> MapOptions:
        """Return what the run was asked to do; raise GaxxError."""
        try:
            return MapOptions.from_dict(self.read_manifest()["options"])
        except (KeyError, TypeError, ValueError) as error:
            message = f"{self.manifest}: damaged: {error}"
            raise GaxxError(message) from error

    @contextlib.contextmanager
    def driving(self) -> typing.Iterator[None]:
        """Be the one controller of the run for the length of the block; raise GaxxError when another is."""
        descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                message = f"run {self.id} is being driven by process {os.pread(descriptor, 32, 0).decode().strip()}"
                raise GaxxError(message, hint=f"`gaxx runs attach {self.id}` shows it") from error
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            # The lock goes with the descriptor, also when the process is killed.
            os.close(descriptor)

    def driver(self) -> int:
        """Return the pid of the controller that drives the run; 0 when there is none."""
        try:
            descriptor = os.open(self.path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return 0
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = os.pread(descriptor, 32, 0).decode().strip()
                return int(text) if text.isdecimal() else 0
            return 0
        finally:
            os.close(descriptor)


def runs_dir() -> pathlib.Path:
    """Where the runs of this user are."""
    return places.private_dir() / "runs"


def all_runs() -> list[RunFolder]:
    """Return every run of this user, oldest first."""
    try:
        folders = [RunFolder(entry) for entry in runs_dir().iterdir() if (entry / MANIFEST).exists()]
    except FileNotFoundError:
        return []
    return sorted(folders, key=lambda folder: (folder.id[:15], folder.created_s))


def find_run(name: str) -> RunFolder:
    """Find a run by its name, the beginning or the end of it, or `last`; raise GaxxError when none or several fit."""
    runs = all_runs()
    if name == "last" and runs:
        return runs[-1]
    exact = [run for run in runs if run.id == name]
    fitting = exact or [run for run in runs if name and (run.id.startswith(name) or run.id.endswith(name))]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(run.id for run in (fitting or runs)[-5:]) or "none yet"
    message = f"{'several runs fit' if fitting else 'no run is called'} {name!r}"
    raise JournalError(message, hint=f"the latest: {known}")


def is_run_name(name: str) -> bool:
    """Whether a run may be called so, here and on the nodes."""
    return _NAME.fullmatch(name) is not None
