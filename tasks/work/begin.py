"""Begin a run or go on with one: find or make its folder, compare what is asked with what it was, spool the input."""

import collections.abc
import dataclasses
import pathlib
import time
import typing

from components.errors import GaxxError
from components.inventory import Node
from tasks.command import new_run_id
from tasks.inventory import Found
from tasks.work import journal, provenance
from tasks.work.items import Spool
from tasks.work.options import MapOptions
from tasks.work.run_folder import RunFolder
from tasks.work.session import Ended, Session, Watcher


@dataclasses.dataclass(frozen=True, slots=True)
class Resumption:
    """How to go on with an earlier run."""

    retry_failed: bool = False
    allow_changed: bool = False


def begin(
    options: MapOptions,
    source: typing.BinaryIO,
    found: Found,
    nodes: collections.abc.Sequence[Node],
    watcher: Watcher,
    *,
    journal_path: pathlib.Path | None = None,
    as_json: bool = False,
) -> Ended:
    """Run anew; blocks until the run is over."""
    if journal_path is not None and journal_path.exists() and journal_path.stat().st_size:
        message = f"{journal_path} exists"
        raise GaxxError(message, hint="go on with it with --resume, or name another file")
    folder = RunFolder.create(new_run_id(), journal=journal_path)
    with folder.driving():
        folder.write_manifest(_manifest(folder, options, found, nodes, session=1))
        log = journal.Journal(folder.journal)
        log.event("run", version=journal.VERSION, run=folder.id, identity=options.identity, time=time.time())
        log.close()
        spool = Spool(folder.path, delimiter=options.delimiter, chunk=options.chunk)
        return _drive(folder, options, found, nodes, watcher, spool, source, number=1, as_json=as_json)


def _drive(
    folder: RunFolder,
    options: MapOptions,
    found: Found,
    nodes: collections.abc.Sequence[Node],
    watcher: Watcher,
    spool: Spool,
    source: typing.BinaryIO | None,
    *,
    number: int,
    as_json: bool,
    retry_failed: bool = False,
) -> Ended:
    session = Session(
        folder, options, found, nodes, watcher, number=number, retry_failed=retry_failed, as_json=as_json
    )
    ended = session.run(spool, source)
    manifest = folder.read_manifest()
    manifest["input"] = {"sha256": spool.sha256, "items": spool.count, "complete": spool.complete}
    folder.write_manifest(manifest)
    return ended


def _manifest(
    folder: RunFolder, options: MapOptions, found: Found, nodes: collections.abc.Sequence[Node], *, session: int
) -> dict[str, typing.Any]:
    return {
        "created": time.time(),
        "session": session,
        "identity": options.identity,
        "options": options.as_dict(),
        "stack": {"name": found.stack.name, "project": found.stack.project, "root": str(found.stack.root)},
        "input": {"sha256": "", "items": 0, "complete": False},
        "provenance": provenance.gather(found, nodes),
    }
