"""Put over SFTP: the same checks as the agent makes, in the same order, by this side."""

import asyncio
import contextlib
import pathlib
import stat
import typing

import paramiko

from tasks.files.chunks import CHUNK_BYTES
from tasks.files.local_files import Source
from tasks.files.results import FileFault, FileResult, NodeFault, NodeReport, State
from tasks.files.sending import Outbox
from tasks.files.ssh_node import SshNode, said_of

_MODE = 0o777


class SshSender:
    """Sends what is left to one node; blocks."""

    def __init__(self, outbox: Outbox, remote: SshNode, report: NodeReport, loop: asyncio.AbstractEventLoop) -> None:
        self._outbox, self._remote, self._report, self._loop = outbox, remote, report, loop

    def run(self) -> None:
        """Send everything; raise NodeFault when the rest cannot be sent."""
        for index, source in self._outbox.left(self._report.node):
            self._remote.check()
            self._outbox.add(self._report, index, self._send(source))

    def _send(self, source: Source) -> FileResult:
        node, digest = self._report.node, ""
        try:
            digest = asyncio.run_coroutine_threadsafe(self._outbox.digests.of(source), self._loop).result()
            state, error = self._store(source, digest), ""
        except FileFault as fault:
            state, error = fault.state, fault.text
            if source.changed():
                state, error = State.FAILED, "changed while it was sent"
        except (paramiko.SSHException, EOFError) as fault:
            raise self._remote.lost(fault) from fault
        except OSError as fault:
            if not self._remote.sftp.sock.get_transport().is_active():
                raise self._remote.lost(fault) from fault
            state, error = State.FAILED, said_of(fault)
        return FileResult(node, source.remote, state, source.size_bytes, digest, source.local, error)

    def _store(self, source: Source, digest: str) -> State:
        remote, sftp = self._remote, self._remote.sftp
        target = remote.path(source.remote)
        remote.parent(source.remote, makes=True)
        there = remote.lstat(target)
        if there is not None and stat.S_ISLNK(there):
            raise FileFault(State.REFUSED, f"{target}: is a symbolic link, which is not followed")
        if there is not None and not stat.S_ISREG(there):
            raise FileFault(State.REFUSED, f"{target}: is no regular file")
        if there is not None and sftp.stat(target).st_size == source.size_bytes and remote.sha256(target) == digest:
            sftp.chmod(target, source.mode & _MODE)
            return State.UNCHANGED
        folder, _, name = target.rpartition("/")
        part = f"{folder}/.{name[:100]}.{digest[:16]}.part"
        if self._fill(source, part) and remote.sha256(part) != digest:
            # What an earlier transfer left was not the beginning of this file.
            sftp.remove(part)
            self._fill(source, part)
        if remote.sha256(part) != digest:
            sftp.remove(part)
            raise FileFault(State.REFUSED, f"{target}: what arrived has not the sha256 of what was sent")
        sftp.chmod(part, source.mode & _MODE)
        sftp.posix_rename(part, target)
        return State.SENT

    def _fill(self, source: Source, part: str) -> int:
        """Send what the part lacks; return how much it had."""
        sftp = self._remote.sftp
        mode = self._remote.lstat(part)
        if mode is not None and not stat.S_ISREG(mode):
            raise FileFault(State.REFUSED, f"{part}: is not ours")
        have = (sftp.stat(part).st_size or 0) if mode is not None else 0
        if have > source.size_bytes:
            sftp.remove(part)
            have, mode = 0, None
        self._require_room(source, part, source.size_bytes - have)
        try:
            with sftp.open(part, "wxb" if mode is None else "r+b") as file:
                file.set_pipelined(True)
                file.seek(have)
                self._pump(source, have, file)
            if (sftp.stat(part).st_size or 0) < source.size_bytes:
                self._full(source, part)
        except OSError as error:
            if isinstance(error, FileNotFoundError | PermissionError):
                raise
            # SFTP has no word for a full disk: "Failure" is all that it says.
            self._full(source, part, error)
        return have

    def _pump(self, source: Source, have: int, file: paramiko.SFTPFile) -> None:
        left = source.size_bytes - have
        with pathlib.Path(source.local).open("rb") as local:
            local.seek(have)
            while left:
                self._remote.check()
                data = local.read(min(CHUNK_BYTES, left))
                if not data:
                    raise FileFault(State.FAILED, "became shorter while it was sent")
                file.write(data)
                left -= len(data)
                self._report.moved_bytes += len(data)
                self._outbox.moved(self._report.node, len(data))

    def _require_room(self, source: Source, part: str, wanted_bytes: int) -> None:
        free = self._remote.free_bytes(part.rpartition("/")[0])
        if free is not None and free < wanted_bytes:
            raise self._no_room(source, free)

    def _full(self, source: Source, part: str, error: OSError | None = None) -> typing.NoReturn:
        """Remove the part if the disk is full, because it is what fills it; raise what fits."""
        transport = self._remote.sftp.sock.get_transport()
        if error is not None and not transport.is_active():
            raise self._remote.lost(error) from error
        have = self._remote.sftp.stat(part).st_size or 0
        free = self._remote.free_bytes(part.rpartition("/")[0])
        if free is not None and free < source.size_bytes - have:
            with contextlib.suppress(OSError):
                self._remote.sftp.remove(part)
            raise self._no_room(source, free)
        raise FileFault(State.FAILED, said_of(error) if error else "the node did not take all of it") from error

    def _no_room(self, source: Source, free: int) -> NodeFault:
        text = f"no space left on the node: {source.remote} has {source.size_bytes} bytes, {free} are free"
        return NodeFault(State.FAILED, text)
