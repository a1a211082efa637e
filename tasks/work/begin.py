"""Begin a run or go on with one: find or make its folder, compare what is asked with what it was, spool the input."""

import collections.abc
import contextlib
import dataclasses
import pathlib
import shutil
import time
import typing

from components.errors import GaxxError, Refused
from components.inventory import Node
from tasks.inventory import Found
from tasks.run.command import new_run_id
from tasks.work import carry, journal, provenance
from tasks.work.emit import Shown
from tasks.work.intake import Input
from tasks.work.items import Spool
from tasks.work.options import MapOptions
from tasks.work.run_folder import RunFolder, all_runs, runs_dir
from tasks.work.session import Ended, Session, Watcher


@dataclasses.dataclass(frozen=True, slots=True)
class Fleet:
    """Where the run takes place."""

    found: Found
    nodes: collections.abc.Sequence[Node]


@dataclasses.dataclass(frozen=True, slots=True)
class Resumption:
    """How to go on with an earlier run."""

    retry_failed: bool = False
    allow_changed: bool = False


@dataclasses.dataclass(slots=True)
class Turn:
    """A run that this process may drive now."""

    folder: RunFolder
    options: MapOptions
    spool: Spool
    source: typing.BinaryIO | None
    """What is still to be spooled; None when all is."""
    number: int
    retry_failed: bool = False

    def drive(self, fleet: Fleet, watcher: Watcher, *, shown: Shown = "outputs") -> Ended:
        """Drive it until it is over; blocks. Raise GaxxError when the controller itself cannot go on."""
        session = Session(
            self.folder, self.options, fleet.found, fleet.nodes, watcher,
            number=self.number, retry_failed=self.retry_failed, shown=shown,
        )  # fmt: skip
        return session.run(self.spool, self.source)

    def spool_all(self) -> None:
        """Spool the whole input now, for a controller to come; raise SpoolError."""
        if self.source is not None:
            Input(self.spool, self.source).read_all()
            self.source = None
            _note_spooled(self.folder, self.spool)


@contextlib.contextmanager
def new_run(
    options: MapOptions, source: typing.BinaryIO, fleet: Fleet, *, journal_path: pathlib.Path | None = None
) -> collections.abc.Iterator[Turn]:
    """Make a new run; raise GaxxError."""
    if journal_path is not None and journal_path.exists() and journal_path.stat().st_size:
        message = f"{journal_path} exists"
        raise GaxxError(message, hint="go on with it with --resume, or name another file")
    folder = RunFolder.create(new_run_id(), journal=journal_path)
    for file in options.files:
        folder.keep(pathlib.Path(file.source), file.sha256)
    stack = fleet.found.stack
    with folder.driving():
        folder.write_manifest(
            {
                "created": time.time(),
                "cwd": str(pathlib.Path.cwd()),
                "session": 1,
                "identity": options.identity,
                "options": options.as_dict(),
                "stack": {"name": stack.name, "project": stack.project, "root": str(stack.root)},
                "provenance": provenance.gather(fleet.found, fleet.nodes),
            }
        )
        log = journal.Journal(folder.journal)
        log.event("run", version=journal.VERSION, run=folder.id, identity=options.identity, time=time.time())
        log.close()
        path = _input(folder, 1)
        path.mkdir(mode=0o700)
        spool = Spool(path, delimiter=options.delimiter, chunk=options.chunk)
        yield Turn(folder, options, spool, source, 1)


@contextlib.contextmanager
def resumed_run(
    options: MapOptions,
    source: typing.BinaryIO,
    fleet: Fleet,
    watcher: Watcher,
    how: Resumption,
    *,
    journal_path: pathlib.Path | None = None,
) -> collections.abc.Iterator[Turn]:
    """Go on with the latest run of this command (or that of the journal): only what is not done is executed.

    Raise Refused when command, files or environment are others than the run's.
    """
    folder = _of_journal(journal_path) if journal_path else _latest(options, fleet, how)
    if folder is None:
        # A script that always says --resume need not know whether the first try came as far as a journal.
        watcher.note("there is nothing to go on with: beginning anew")
        with new_run(options, source, fleet, journal_path=journal_path) as turn:
            yield turn
        return
    with folder.driving():
        _compare(folder, options, how)
        fold = journal.Fold.of(folder.journal)
        fresh = folder.path / "input.next"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        spool = Spool(fresh, delimiter=options.delimiter, chunk=options.chunk)
        Input(spool, source).read_all()
        if spool.sha256 == fold.sha256 and _input(folder, fold.generation).exists():
            spool.close()
            shutil.rmtree(fresh)
            spool = _old_spool(folder, options, fold)
        else:
            spool = _replace(folder, fold, spool, fresh, watcher)
        yield _again(folder, options, spool, retry_failed=how.retry_failed)


@contextlib.contextmanager
def attached_run(folder: RunFolder, watcher: Watcher, *, retry_failed: bool = False) -> collections.abc.Iterator[Turn]:
    """Go on with a run that nobody drives, from what is in its folder alone; raise GaxxError when another does."""
    with folder.driving():
        options = folder.options()
        fold = journal.Fold.of(folder.journal)
        spool = _old_spool(folder, options, fold)
        if not spool.complete:
            watcher.note(
                f"the input was still being read when the run stopped: going on with the {spool.count} items that were;"
                " for the rest use --resume with the whole input"
            )
            spool.complete = True
        yield _again(folder, options, spool, retry_failed=retry_failed)


def _again(folder: RunFolder, options: MapOptions, spool: Spool, *, retry_failed: bool) -> Turn:
    for file in options.files:
        if not folder.sent(file.sha256).exists():
            folder.keep(pathlib.Path(file.source), file.sha256)
    manifest = folder.read_manifest()
    # A session's number goes into its lease ids: no two of a run may share them, also when it ends at once.
    manifest.update(session=manifest["session"] + 1, identity=options.identity, options=options.as_dict())
    folder.write_manifest(manifest)
    return Turn(folder, options, spool, None, manifest["session"], retry_failed)


def _old_spool(folder: RunFolder, options: MapOptions, fold: journal.Fold) -> Spool:
    path = _input(folder, fold.generation)
    return Spool.reopen(path, delimiter=options.delimiter, chunk=options.chunk, sha256=fold.sha256)


def _note_spooled(folder: RunFolder, spool: Spool) -> None:
    log = journal.Journal(folder.journal)
    log.event("spooled", items=spool.count, sha256=spool.sha256)
    log.sync()
    log.close()


def _replace(folder: RunFolder, fold: journal.Fold, spool: Spool, fresh: pathlib.Path, watcher: Watcher) -> Spool:
    """Put another input in place; what its items have in common with the old one stays done."""
    generation = fold.generation + 1
    log = journal.Journal(folder.journal)
    log.event("input", generation=generation, items=spool.count)
    count = 0
    for event in carry.batches(carry.carry(folder.journal, fold, spool, folder.path), spool):
        log.event("carried", **event)
        count += len(event["items"])
    target = _input(folder, generation)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    log.event("ready", generation=generation)
    log.close()
    _note_spooled(folder, spool)
    watcher.note(f"the input is another one: {count} of its {spool.count} items are done already")
    return spool


def _of_journal(path: pathlib.Path) -> RunFolder | None:
    if not path.exists() or not path.stat().st_size:
        return None
    first = journal.header(path)
    folder = RunFolder(runs_dir() / str(first["run"]))
    if not folder.manifest.exists():
        message = f"the run {folder.id} of {path} was not begun by this user on this machine"
        raise GaxxError(message, hint=f"its folder would be {folder.path}")
    return folder


def _latest(options: MapOptions, fleet: Fleet, how: Resumption) -> RunFolder | None:
    mine = [folder for folder in all_runs() if folder.read_manifest()["stack"]["name"] == fleet.found.stack.name]
    if not mine:
        return None
    same = [folder for folder in mine if folder.read_manifest()["identity"] == options.identity]
    return same[-1] if same and not how.allow_changed else mine[-1]


def _compare(folder: RunFolder, options: MapOptions, how: Resumption) -> None:
    before = folder.options()
    if before.identity == options.identity or how.allow_changed:
        return
    names = {"argv": "command", "env": "environment", "files": "files", "returns": "--return", "chunk": "--chunk"}
    changed = [
        names.get(field.name, field.name)
        for field in dataclasses.fields(options)
        if field.name in names and getattr(before, field.name) != getattr(options, field.name)
    ]
    message = f"run {folder.id} had another {', another '.join(changed) or 'setting'}"
    raise Refused(message, hint="its results would be mixed; --allow-changed goes on all the same")


def _input(folder: RunFolder, generation: int) -> pathlib.Path:
    return folder.path / f"input.{generation}"
