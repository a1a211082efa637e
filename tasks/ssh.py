"""OpenSSH's own client for people: an interactive shell and port forwards, with the inventory's pinned host keys."""

import collections.abc
import os
import pathlib
import shlex
import subprocess
import tempfile

from components import places
from components.errors import GaxxError, NodeError, Refused
from components.inventory import Node
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


def options(hosts: pathlib.Path, node: Node, operator: identity.Operator, *, forward_agent: bool = False) -> list[str]:
    """The options with which OpenSSH trusts exactly the pinned keys and offers exactly the operator's."""
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
    options_ = options(known_hosts(found), node, identity.load(), forward_agent=forward_agent)
    code = _run(node, [*options_, *extra], remote)
    if command and code:
        raise CommandFailed(node.name, code)


def tunnel(found: Found, node: Node, local_port: int, remote_host: str, remote_port: int) -> None:
    """Forward 127.0.0.1:local_port to remote_host:remote_port as the node sees it, until Ctrl-C."""
    forward = f"127.0.0.1:{local_port}:{remote_host}:{remote_port}"
    line = [*options(known_hosts(found), node, identity.load()), "-N", "-o", "ExitOnForwardFailure=yes", "-L", forward]
    _run(node, line, [])


class CommandFailed(GaxxError):  # noqa: N818 - reads as what happened
    """The remote command exited otherwise than 0; `code` is its exit code."""

    exit_code = 3

    def __init__(self, node: str, code: int) -> None:
        self.code = code
        super().__init__(f"{node}: exit {code}")


def _run(node: Node, line: collections.abc.Sequence[str], remote: collections.abc.Sequence[str]) -> int:
    # ssh's own words go to a file: what it says of keys becomes one clear line, and the session's output stays clean.
    with tempfile.NamedTemporaryFile(prefix="gaxx-ssh-") as log:
        whole = ["ssh", *line, "-E", log.name, "-p", str(node.ssh_port), f"{node.ssh_user}@{node.ssh_host}", *remote]
        code = _wait(whole)
        said = log.read().decode(errors="replace")
    if code == SSH_FAILED and said.strip():
        raise fault(node, said)
    return code


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
