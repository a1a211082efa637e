"""A jump host for tests: a real sshd in a network that nobody else gets into, and a user who knows it.

Its listening socket is outside of that network and each of its connections inside, which is what a machine with two
interfaces amounts to. Making networks and giving root another home takes root.
"""

import contextlib
import dataclasses
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator

from tests.stack.mount_space import mount_space
from tests.stack.network_space import network_space


@dataclasses.dataclass
class Jump:
    """The jump host, and its user's own settings."""

    address: str
    port: int
    folder: pathlib.Path
    ssh: pathlib.Path
    """The user's ~/.ssh."""
    inside: tuple[str, ...]
    """What goes before a command for it to be run in the network behind."""
    user_space: tuple[str, ...] = ()
    """What goes before one for it to be run as the user, with `ssh` as their home."""
    served: int = 0
    """How many connections it took."""
    dropping: int = 0
    """Of how many it shall hang up at once, as an sshd does on which too many log in."""

    @property
    def text(self) -> str:
        """As a stack file has it."""
        return f"{pwd.getpwuid(os.geteuid()).pw_name}@{self.address}:{self.port}"

    @property
    def log(self) -> str:
        """What its sshd says."""
        return (self.folder / "log").read_text()

    def know(self, key: str = "") -> None:
        """Make its host key known to the user, or another key under its name."""
        key = key or (self.folder / "host_key.pub").read_text()
        (self.ssh / "known_hosts").write_text(f"[{self.address}]:{self.port} {key}\n")

    def forget(self) -> None:
        """Take its host key from the user."""
        (self.ssh / "known_hosts").unlink()


@contextlib.contextmanager
def jump_host(base: pathlib.Path, home: pathlib.Path, root: pathlib.Path, *, apart: bool = True) -> Iterator[Jump]:
    """Serve one; its user, whose home is `home`, has a key for it and knows its own. Programs are run in `root`.

    Without `apart` it is in this computer's own network.
    """
    folder, ssh = base / "jump", home / ".ssh"
    folder.mkdir()
    ssh.mkdir(mode=0o700)
    for key in (folder / "host_key", ssh / "id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
    (folder / "config").write_text(
        f"HostKey {folder}/host_key\nPidFile none\nUsePAM no\nStrictModes no\nAuthorizedKeysFile {ssh}/id_ed25519.pub\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        # It forwards, and that is all.
        "AllowTcpForwarding local\nPermitTTY no\nForceCommand false\nLogLevel VERBOSE\n"
    )
    pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    own = pwd.getpwuid(os.geteuid())
    entries = pathlib.Path("/etc/passwd").read_text().splitlines()
    changed = [":".join([*line.split(":")[:5], str(home), own.pw_shell]) if line.startswith(f"{own.pw_name}:") else line
               for line in entries]  # fmt: skip
    (folder / "passwd").write_text("\n".join(changed) + "\n")
    with contextlib.ExitStack() as stack:
        inside = stack.enter_context(network_space()) if apart else ()
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        address, port = listener.getsockname()
        made = Jump(address, port, folder, ssh, inside)
        made.user_space = stack.enter_context(mount_space(root, f"mount --bind {folder}/passwd /etc/passwd"))
        stack.enter_context(_served(made, listener))
        made.know()
        yield made


@contextlib.contextmanager
def _served(jump: Jump, listener: socket.socket) -> Iterator[None]:
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "OpenSSH's sshd is needed"
    line = [*jump.inside, program, "-i", "-e", "-f", str(jump.folder / "config")]
    sessions: list[subprocess.Popen[bytes]] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            jump.served += 1
            if jump.dropping:
                jump.dropping -= 1
                connection.close()
                continue
            with connection, (jump.folder / "log").open("ab") as log:
                sessions.append(
                    subprocess.Popen(line, stdin=connection.fileno(), stdout=connection.fileno(), stderr=log)
                )

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for session in sessions:
            session.terminate()
            session.wait()
