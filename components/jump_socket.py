"""A connection to a node through its jump host: a socket whose other end is OpenSSH's client.

The client lives as long as the socket: closing it ends the process, and when ours is killed its end of the socket
closes by itself, which ends the client as well. Blocking: call it in a thread.
"""

import contextlib
import select
import socket
import subprocess
import tempfile
import time
import typing

from components import jump_host
from components.errors import GaxxError
from components.jump_host import JumpHost

_END_LIMIT_S = 2.0


class JumpSocket(socket.socket):
    """An open connection; a socket like any other."""

    def __init__(self, command: list[str]) -> None:
        ours, theirs = socket.socketpair()
        super().__init__(fileno=ours.detach())
        # A file, not a pipe, which would fill; and one without a name, which nobody has to remove.
        self._log: typing.IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the socket
        try:
            # A session of its own: Ctrl-C is for us to deal with, and nothing asks on a terminal.
            self._process = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=self._log, start_new_session=True
            )
        except BaseException as error:
            super().close()
            self._log.close()
            if isinstance(error, FileNotFoundError):
                message = "ssh is not on PATH"
                raise GaxxError(message, hint="apt-get install openssh-client") from error
            raise
        finally:
            theirs.close()

    def wait(self, limit_s: float) -> bool:
        """Wait until the far side has said something; False when the client has ended instead, or time is up."""
        poll = select.poll()
        poll.register(self, select.POLLIN)
        return bool(poll.poll(limit_s * 1000)) and bool(self.recv(1, socket.MSG_PEEK))

    def said(self) -> str:
        """What the client said, which has hung up: it is about to end, and says why before it does."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_LIMIT_S)
        return self.said_so_far()

    def said_so_far(self) -> str:
        """What the client has said until now."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def has_ended(self) -> bool:
        """Whether the client has ended."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Close it, and end the client."""
        super().close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_END_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()


def opened(jump: JumpHost, node: str, host: str, port: int, *, limit_s: float) -> JumpSocket:
    """Connect to an sshd that greets first.

    Raise Refused where the jump host does not prove itself or refuses us, JumpHostError where it cannot be used, and
    NodeError where nobody answers behind it.
    """
    deadline = time.monotonic() + limit_s
    for tried in range(1, jump_host.TRIES + 1):
        made = JumpSocket(jump.command(host, port))
        try:
            if made.wait(max(0.0, deadline - time.monotonic())):
                return made
            late = time.monotonic() >= deadline
            said = "" if late else made.said()
        except BaseException:
            made.close()
            raise
        made.close()
        if late:
            break
        if tried == jump_host.TRIES or not jump_host.is_dropped(said):
            raise jump.fault(node, said)
        time.sleep(jump_host.pause_s(tried))
    raise jump.fault(node, "")
