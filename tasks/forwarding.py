"""Agents behind SSH: OpenSSH forwards a Unix socket here to the agent's port as the node sees itself.

One ssh process a node serves every later command for a while (ControlPersist), so only the first one pays for
the log-in. Sockets lie in a folder that only this user can enter; on the wire it is the agent's own mutual TLS
all the same.
"""

import asyncio
import collections.abc
import contextlib
import fcntl
import hashlib
import os
import pathlib
import tempfile

from components.errors import GaxxError, NodeError
from components.inventory import Node
from tasks import identity, private, ssh
from tasks.inventory import Found

PERSIST_S = 600
"""How long an idle connection is kept for the next command."""


@contextlib.asynccontextmanager
async def forwarded(found: Found, node: Node) -> collections.abc.AsyncIterator[str]:
    """Yield the path of a socket that leads to the node's agent; raise NodeError or Refused when SSH does not get there."""
    folder = _folder()
    # A node made anew has other keys, hence another name here: its old connection is never used for it.
    identity_of_node = "|".join((node.tls_name, node.ssh_host, str(node.ssh_port), node.address, *node.ssh_host_keys))
    name = hashlib.sha256(identity_of_node.encode()).hexdigest()[:20]
    control, target = folder / f"{name}.c", folder / f"{name}.s"
    with (folder / f"{name}.lock").open("w") as lock:
        await _locked(lock.fileno())
        if not await _alive(control, node) or not target.exists():
            await _connect(found, node, control, target)
    yield str(target)


def _folder() -> pathlib.Path:
    # Socket paths end at 107 bytes and ssh adds a suffix of its own while it binds: short ones only.
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = pathlib.Path(runtime) if runtime.startswith("/") else pathlib.Path(tempfile.gettempdir())
    folder = base / (f"gaxx-{os.geteuid()}" if not runtime else "gaxx")
    private.folder(folder)
    fault = private.exposure(folder.lstat())
    if fault or folder.is_symlink():
        message = f"{folder} is {fault or 'a symbolic link'}: no place for sockets"
        raise GaxxError(message, hint="remove it")
    return folder


async def _locked(descriptor: int) -> None:
    # Two commands at once would both start a connection and unlink each other's socket.
    await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)


async def _alive(control: pathlib.Path, node: Node) -> bool:
    if not control.exists():
        return False
    line = ["-F", "none", "-o", f"ControlPath={control}", "-O", "check", f"{node.ssh_user}@{node.ssh_host}"]
    process = await asyncio.create_subprocess_exec(
        "ssh", *line, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    return await process.wait() == 0


async def _connect(found: Found, node: Node, control: pathlib.Path, target: pathlib.Path) -> None:
    target.unlink(missing_ok=True)
    control.unlink(missing_ok=True)
    settings = {
        "ControlMaster": "yes",
        "ControlPath": str(control),
        "ControlPersist": str(PERSIST_S),
        "ExitOnForwardFailure": "yes",
        "StreamLocalBindMask": "0177",
        "BatchMode": "yes",
    }
    line = ssh.options(ssh.known_hosts(found), node, identity.load())
    for name, value in settings.items():
        line += ["-o", f"{name}={value}"]
    # ssh stays in the background: a pipe for its words would never end, a file does.
    with tempfile.NamedTemporaryFile(prefix="gaxx-ssh-") as log:
        line += ["-f", "-N", "-E", log.name, "-L", f"{target}:{node.address}:{node.agent_port}"]
        try:
            process = await asyncio.create_subprocess_exec(
                "ssh", *line, "-p", str(node.ssh_port), f"{node.ssh_user}@{node.ssh_host}",
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError as error:
            message = "ssh is not on PATH"
            raise GaxxError(message, hint="apt-get install openssh-client") from error
        code = await process.wait()
        said = log.read().decode(errors="replace")
    if code != 0:
        raise ssh.fault(node, said) if said.strip() else NodeError(node.name, f"ssh ended with exit code {code}")
