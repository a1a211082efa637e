"""Get over SFTP: the same globs, the same checks of names and digests, the same way into the folder."""

import collections.abc
import stat

import paramiko

from tasks.files import names
from tasks.files.chunks import CHUNK_BYTES
from tasks.files.receiving import MISSING, Inbox
from tasks.files.results import FileFault, FileResult, NodeReport, State
from tasks.files.ssh_node import SshNode, said_of

_REQUESTS = 64
"""Of 32 KiB each, asked for before the first is answered."""


class SshReceiver:
    """Receives what is left from one node; blocks."""

    def __init__(self, inbox: Inbox, remote: SshNode, report: NodeReport) -> None:
        self._inbox, self._remote, self._report = inbox, remote, report

    def run(self) -> None:
        """Receive what is left; raise NodeFault when the rest cannot be had."""
        for glob in self._inbox.left(self._report.node):
            base, pattern = names.split_glob(glob)
            try:
                self._glob(glob, base, pattern)
            except FileFault as fault:
                if not fault.missing or not names.MAGIC & set(glob):
                    self._fault(glob, glob, fault)
            except (paramiko.SSHException, EOFError) as error:
                raise self._remote.lost(error) from error
            self._inbox.through(self._report.node)

    def _glob(self, glob: str, base: str, pattern: str) -> None:
        self._remote.parent(names.joined(base, "x"), makes=False)
        found = False
        for path, entry in self._walk(self._remote.path(base), "", pattern):
            found = True
            self._inbox.matched(glob)
            try:
                placed = self._take(base, path, entry)
                if placed is not None:
                    self._inbox.add(self._report, placed)
            except FileFault as fault:
                self._fault(glob, names.joined(base, path), fault)
        if not found and not names.MAGIC & set(pattern):
            raise FileFault(State.FAILED, "no such file or directory", missing=True)

    def _fault(self, glob: str, path: str, fault: FileFault) -> None:
        self._inbox.matched(glob)
        text = MISSING if fault.missing else fault.text
        self._inbox.add(self._report, FileResult(self._report.node, path, fault.state, error=text))

    def _walk(
        self, folder: str, prefix: str, pattern: str
    ) -> collections.abc.Iterator[tuple[str, paramiko.SFTPAttributes]]:
        for entry in self._remote.entries(folder):
            self._remote.check()
            path = f"{prefix}{entry.filename}"
            # Who lists a folder may be hostile: a name with a slash in it is no name.
            wanted = not names.why_unsafe(path) and "/" not in entry.filename
            if wanted and names.is_asked_for(path, pattern):
                yield path, entry
            if wanted and stat.S_ISDIR(entry.st_mode or 0) and names.leads_on(path, pattern):
                yield from self._walk(f"{folder}/{entry.filename}", f"{path}/", pattern)

    def _take(self, base: str, path: str, entry: paramiko.SFTPAttributes) -> FileResult | None:
        mode, node, arrivals = entry.st_mode or 0, self._report.node, self._inbox.arrivals
        if stat.S_ISDIR(mode):
            arrivals.add_folder(node, path, mode)
            return None
        if stat.S_ISLNK(mode):
            raise FileFault(State.FAILED, "is a symbolic link, which is not followed")
        if not stat.S_ISREG(mode):
            raise FileFault(State.FAILED, "is no regular file")
        remote = self._remote.path(names.joined(base, path))
        size = entry.st_size or 0
        with arrivals.begin(node, path, size, mode) as arrival:
            try:
                with self._remote.sftp.open(remote, "rb") as file:
                    file.prefetch(size, max_concurrent_requests=_REQUESTS)
                    while data := file.read(CHUNK_BYTES):
                        self._remote.check()
                        arrival.write(data)
                        self._report.moved_bytes += len(data)
                        self._inbox.moved(node, len(data))
            except OSError as error:
                if not self._remote.sftp.sock.get_transport().is_active():
                    raise self._remote.lost(error) from error
                raise FileFault(State.FAILED, said_of(error)) from error
            return arrival.finish(self._remote.sha256(remote))
