"""OpenSSH's own client for people: an interactive shell and port forwards, with the inventory's pinned host keys."""

import collections.abc
import contextlib
import os
import pathlib
import shlex
import subprocess
import tempfile
import typing

from components import places
from components.errors import GaxxError, NodeError, Refused
from components.inventory import Node
from components.jump_host import is_dropped
from tasks import identity, private
from tasks.inventory import Found

SSH_FAILED = 255
"""ssh's own exit code when it, and not the remote command, failed."""


def known_hosts(found: Found) -> pathlib.Path:
    """Write the stack's pinned host keys beside its cached inventory and return the file.

    Keyed by the node's TLS name, which `HostKeyAlias` asks for: addresses are used again, names are not.
    """
    path = places.known_hosts(found.stack.cache)
    lines = [f"{node.tls_name} {key}\n" for node in found.inventory.nodes for key in node.ssh_host_keys]
    private.replace(path, "".join(lines))
    return path


def options(
    hosts: pathlib.Path, node: Node, operator: identity.Operator, *, forward_agent: bool = False, jump_log: str = ""
) -> list[str]:
    """The options with which OpenSSH trusts exactly the pinned keys and offers exactly the operator's.

    `jump_log` is a file for what the client that reaches the jump host has to say.
    """
    settings = {
        "HostKeyAlias": node.tls_name,
        "UserKnownHostsFile": f'"{hosts}"',
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "IdentityFile": f'"{operator.ssh_key}"',
        "IdentitiesOnly": "yes",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "ConnectTimeout": "15",
        "ServerAliveInterval": "15",
        "ForwardAgent": "yes" if forward_agent else "no",
        "LogLevel": "ERROR",
    }
    if not forward_agent:
        # The user's own agent is not even asked.
        settings["IdentityAgent"] = "none"
    if node.jump:
        # Not ProxyJump: it would hand on -F none, and only the user's own settings know the jump host.
        settings["ProxyCommand"] = node.jump.proxy_command(jump_log)
    # -F none: a user's own ssh_config could send us elsewhere, or weaken the checks.
    line = ["-F", "none"]
    for name, value in settings.items():
        line += ["-o", f"{name}={value}"]
    return line


def session(
    found: Found, node: Node, *, command: collections.abc.Sequence[str] = (), forward_agent: bool = False
) -> None:
    """Open a shell on a node, or run a command there, on this terminal; returns when it is over.

    The exit code of a shell is nobody's business; raise CommandFailed when `command` exits otherwise than 0.
    """
    extra = [] if command else ["-tt"] if os.isatty(0) else []
    remote = [shlex.join(command)] if command else []
    code = _run(found, node, extra, remote, forward_agent=forward_agent)
    if command and code:
        raise CommandFailed(node.name, code)


def tunnel(found: Found, node: Node, local_port: int, remote_host: str, remote_port: int) -> None:
    """Forward 127.0.0.1:local_port to remote_host:remote_port as the node sees it, until Ctrl-C."""
    forward = f"127.0.0.1:{local_port}:{remote_host}:{remote_port}"
    _run(found, node, ["-N", "-o", "ExitOnForwardFailure=yes", "-L", forward], [])


class CommandFailed(GaxxError):  # noqa: N818 - reads as what happened
    """The remote command exited otherwise than 0; `code` is its exit code."""

    exit_code = 3

    def __init__(self, node: str, code: int) -> None:
        self.code = code
        super().__init__(f"{node}: exit {code}")


def _run(
    found: Found,
    node: Node,
    extra: collections.abc.Sequence[str],
    remote: collections.abc.Sequence[str],
    *,
    forward_agent: bool = False,
) -> int:
    with Log() as log:
        line = options(
            known_hosts(found), node, identity.load(), forward_agent=forward_agent, jump_log=log.of_jump.name
        )
        line += [*extra, "-E", log.of_node.name, "-p", str(node.ssh_port), f"{node.ssh_user}@{node.ssh_host}"]
        code = _wait(["ssh", *line, *remote])
        if code == SSH_FAILED and (failed := log.fault(node)):
            raise failed
    return code


class Log:
    """What ssh itself says, in files: of keys it becomes one clear line, and a session's output stays clean.

    A context manager; the files go with it.
    """

    def __init__(self) -> None:
        self._files = contextlib.ExitStack()

    def __enter__(self) -> typing.Self:
        self.of_node = self._files.enter_context(tempfile.NamedTemporaryFile(prefix="gaxx-ssh-"))
        self.of_jump = self._files.enter_context(tempfile.NamedTemporaryFile(prefix="gaxx-ssh-"))
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def fault(self, node: Node) -> GaxxError | None:
        """Say what went wrong; None when ssh has not said."""
        said, said_of_jump = (file.read().decode(errors="replace") for file in (self.of_node, self.of_jump))
        if node.jump and "exchange" in said:
            # The node has not said a word: why, only the jump host's client can tell.
            return node.jump.fault(node.name, said_of_jump)
        return fault(node, said) if said.strip() else None

    def is_dropped(self) -> bool:
        """Whether the jump host hung up for being asked by too many at once."""
        return is_dropped(pathlib.Path(self.of_jump.name).read_text(errors="replace"))


def _wait(line: collections.abc.Sequence[str]) -> int:
    try:
        process = subprocess.Popen(line)
    except FileNotFoundError as error:
        raise absent() from error
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # Ctrl-C belongs to the remote side, or ends ssh by itself: we only wait.
            continue


def absent() -> GaxxError:
    """The error that says that there is no OpenSSH client here."""
    return GaxxError("ssh is not on PATH", hint="apt-get install openssh-client")


def fault(node: Node, said: str) -> GaxxError:
    """Turn what ssh said before it gave up into one of our errors."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if any("HOST IDENTIFICATION HAS CHANGED" in line or "Host key verification failed" in line for line in lines):
        message = f"{node.name}: the host key is not the one pinned in the inventory"
        return Refused(message, hint="somebody may be in between; if the node was made anew: gaxx inventory --refresh")
    last = lines[-1]
    taken = [line for line in lines if "Address already in use" in line]
    if taken:
        return GaxxError(
            f"{taken[0].partition(': ')[0].removeprefix('bind ')} is taken", hint="choose another local port"
        )
    if "Permission denied" in last:
        message = f"{node.name}: sshd refuses our key: {last}"
        return Refused(message, hint="is this operator among gaxx:operators, and was `pulumi up` run since?")
    return NodeError(node.name, last.rpartition(": ")[2].rstrip(".").lower() if "port" in last else last)
