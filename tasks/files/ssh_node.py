"""One node over SSH, for files when its agent does not answer: SFTP for bytes, the node's own tools for digests.

Paths mean what they mean to the agent: relative ones begin in the principal's work folder. No link is followed.
Everything blocks and belongs in one thread; only `stop` may be called from another.
"""

import collections.abc
import hashlib
import re
import shlex
import stat
import threading
import typing

import paramiko

from components.errors import GaxxError, Refused
from components.inventory import Node
from tasks import identity
from tasks.files.results import FileFault, NodeFault, State
from tasks.ssh import fabric_connection

if typing.TYPE_CHECKING:
    import fabric

_WORK = "/var/lib/gaxx"
_PLAIN = re.compile(r"[A-Za-z0-9_@+][A-Za-z0-9_@+.-]*")
_WINDOW_BYTES = 4 * 1024 * 1024
_ANSWER_BYTES = 64 * 1024
_MARK = "gaxx-said"
_ANSWER = re.compile(rb"gaxx-said (\d+)\n\Z")


class SshNode:
    """An open connection; a context manager."""

    def __init__(self, node: Node, operator: identity.Operator, principal: str, *, connect_timeout_s: float) -> None:
        self.node = node
        self._operator, self._principal, self._connect_timeout_s = operator, principal, connect_timeout_s
        self._connection: fabric.Connection | None = None
        self._shell: paramiko.Channel | None = None
        self._stopped = threading.Event()

    def __enter__(self) -> typing.Self:
        """Connect. Raises NodeFault."""
        try:
            self._connection = fabric_connection.opened(
                self.node, self._operator, connect_timeout_s=self._connect_timeout_s
            )
            self._transport: paramiko.Transport = self._connection.transport
            sftp = paramiko.SFTPClient.from_transport(self._transport, window_size=_WINDOW_BYTES)
        except GaxxError as error:
            state = State.REFUSED if isinstance(error, Refused) else State.UNREACHABLE
            raise NodeFault(state, error.message.removeprefix(f"{self.node.name}: ")) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            self.__exit__()
            raise NodeFault(State.UNREACHABLE, f"sshd gives no SFTP: {error}") from error
        if sftp is None:
            self.__exit__()
            raise NodeFault(State.UNREACHABLE, "sshd gives no SFTP")
        self.sftp = sftp
        self.home = self._home()
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def stop(self) -> None:
        """End what is under way."""
        self._stopped.set()
        if self._connection is not None:
            self._connection.close()

    def check(self) -> None:
        """Raise NodeFault when it was stopped."""
        if self._stopped.is_set():
            raise NodeFault(State.CANCELLED, "cancelled")

    def lost(self, error: Exception) -> NodeFault:
        """What a broken connection is to the transfer."""
        self.check()
        return NodeFault(State.LOST, f"the connection broke: {error}")

    def path(self, remote: str) -> str:
        """The absolute path that the agent would mean."""
        return remote if remote.startswith("/") else f"{self.home}/{remote}" if remote else self.home

    def parent(self, remote: str, *, makes: bool) -> None:
        """Walk to the folder of `remote`. Raises FileFault for a link, or where it is not there."""
        *folders, _ = self.path(remote).strip("/").split("/")
        own = [] if remote.startswith("/") else self.home.strip("/").split("/")
        walked = ""
        for position, part in enumerate(folders):
            walked = f"{walked}/{part}"
            if position < len(own):
                continue
            state = self.lstat(walked)
            if state is None and makes:
                self.sftp.mkdir(walked, 0o770)
            elif state is None:
                raise FileFault(State.FAILED, f"{walked}: no such file or directory", missing=True)
            elif stat.S_ISLNK(state):
                raise FileFault(State.REFUSED, f"{walked}: is a symbolic link, which is not followed")
            elif not stat.S_ISDIR(state):
                raise FileFault(State.FAILED, f"{walked}: is not a folder")

    def lstat(self, path: str) -> int | None:
        """The mode of a path, type included; None when it is not there."""
        try:
            return self.sftp.lstat(path).st_mode or 0
        except FileNotFoundError:
            return None

    def sha256(self, path: str) -> str:
        """The digest of a file, computed on the node where it can. Raises FileFault."""
        code, said = self.execute(f"sha256sum < {shlex.quote(path)}")
        digest = said[:64].decode("ascii", "replace")
        if code == 0 and re.fullmatch(r"[0-9a-f]{64}", digest):
            return digest
        # No sha256sum: then the bytes come here.
        try:
            with self.sftp.open(path, "rb") as file:
                found = hashlib.sha256()
                file.prefetch(max_concurrent_requests=64)
                while data := file.read(1024 * 1024):
                    self.check()
                    found.update(data)
        except OSError as error:
            raise FileFault(State.FAILED, f"{path}: {said_of(error)}") from error
        return found.hexdigest()

    def free_bytes(self, folder: str) -> int | None:
        """What still fits into the folder's file system; None when the node cannot say."""
        code, said = self.execute(f"stat -f -c '%a %S' {shlex.quote(folder)}")
        words = said.split()
        return int(words[0]) * int(words[1]) if code == 0 and len(words) == 2 else None  # noqa: PLR2004 - both

    def execute(self, line: str) -> tuple[int, bytes]:
        """Execute a shell line that says little; return its exit code and what it said. Raises NodeFault."""
        if self._shell is None:
            # One shell for all lines: a session for each would start the user's own, with all its profile, each time.
            self._shell = self._transport.open_session(timeout=self._connect_timeout_s)
            self._shell.exec_command("exec sh")
        self._shell.sendall(f"{{ {line}; }} 2>/dev/null </dev/null; echo {_MARK} $?\n".encode())
        said = b""
        while not (found := _ANSWER.search(said)):
            data = self._shell.recv(_ANSWER_BYTES)
            if not data or len(said) > _ANSWER_BYTES:
                raise NodeFault(State.FAILED, "the node's shell does not answer")
            said += data
        return int(found[1]), said[: found.start()]

    def entries(self, folder: str) -> collections.abc.Sequence[paramiko.SFTPAttributes]:
        """What is in a folder, by name. Raises FileFault."""
        try:
            return sorted(self.sftp.listdir_attr(folder), key=lambda entry: entry.filename)
        except FileNotFoundError as error:
            raise FileFault(State.FAILED, f"{folder}: no such file or directory", missing=True) from error
        except OSError as error:
            raise FileFault(State.FAILED, f"{folder}: {said_of(error)}") from error
        except UnicodeDecodeError as error:
            raise FileFault(State.FAILED, f"{folder}: a name in it is not UTF-8") from error

    def _home(self) -> str:
        # Where a local node's root is, its sshd says; elsewhere it is "/".
        _, said = self.execute('printf %s "${GAXX_ROOT-}"')
        root = said.decode("utf-8", "replace").rstrip("/")
        name = self._principal
        if not _PLAIN.fullmatch(name):
            name = hashlib.sha256(name.encode()).hexdigest()
        home = f"{root}{_WORK}/{name}"
        try:
            if self.lstat(home) is None:
                self.sftp.mkdir(home, 0o770)
        except OSError as error:
            text = f"{self.node.ssh_user} has no work folder {home}: {said_of(error)}"
            raise NodeFault(State.FAILED, text) from error
        return home


def said_of(error: OSError) -> str:
    """Say why; paramiko raises OSErrors with and without a number."""
    return (error.strerror or str(error) or "failure").lower()
