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
import subprocess
import tempfile
import time

from components.errors import GaxxError, NodeError
from components.inventory import Node
from components.jump_host import TRIES, pause_s
from tasks import identity, private
from tasks.inventory import Found
from tasks.ssh import openssh

PERSIST_S = 600
"""How long an idle connection is kept for the next command."""


@contextlib.asynccontextmanager
async def forwarded(found: Found, node: Node) -> collections.abc.AsyncIterator[pathlib.Path]:
    """Yield a socket that leads to the node's agent; raise NodeError or Refused when SSH does not get there."""
    yield await asyncio.to_thread(_ensure, found, node)


def _ensure(found: Found, node: Node) -> pathlib.Path:
    folder = _folder()
    # A node made anew has other keys, hence another name here: its old connection is never used for it.
    way = (node.ssh_host, str(node.ssh_port), *([node.jump_host] if node.jump_host else []))
    who = "|".join((node.tls_name, *way, node.address, *node.ssh_host_keys))
    name = hashlib.sha256(who.encode()).hexdigest()[:20]
    control, target = folder / f"{name}.c", folder / f"{name}.s"
    with (folder / f"{name}.lock").open("w") as lock:
        # Two commands at once would both start a connection and unlink each other's socket.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target.exists() and _alive(control, node)):
            _connect(found, node, control, target)
    return target


def _folder() -> pathlib.Path:
    # Socket paths end at 107 bytes and ssh adds a suffix of its own while it binds: short ones only.
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        folder = pathlib.Path(runtime) / "gaxx"
    else:
        folder = pathlib.Path(tempfile.gettempdir()) / f"gaxx-{os.geteuid()}"
    private.folder(folder)
    fault = "a symbolic link" if folder.is_symlink() else private.exposure(folder.lstat())
    if fault:
        message = f"{folder} is {fault}: no place for sockets"
        raise GaxxError(message, hint="remove it")
    return folder


def _alive(control: pathlib.Path, node: Node) -> bool:
    return control.exists() and _control(control, node, "check")


def _control(control: pathlib.Path, node: Node, request: str) -> bool:
    line = ["ssh", "-F", "none", "-o", f"ControlPath={control}", "-O", request, f"{node.ssh_user}@{node.ssh_host}"]
    return subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def _connect(found: Found, node: Node, control: pathlib.Path, target: pathlib.Path) -> None:
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
    hosts, operator = openssh.known_hosts(found), identity.load()
    for tried in range(1, TRIES + 1):
        # ssh stays in the background: a pipe for its words would never end, a file does.
        with openssh.Log() as log:
            line = ["ssh", *openssh.options(hosts, node, operator, jump_log=log.of_jump.name)]
            for name, value in settings.items():
                line += ["-o", f"{name}={value}"]
            line += ["-f", "-N", "-E", log.of_node.name, "-L", f"{target}:{node.address}:{node.agent_port}"]
            line += ["-p", str(node.ssh_port), f"{node.ssh_user}@{node.ssh_host}"]
            code = _backgrounded(line)
            if code == 0:
                return
            if tried == TRIES or not log.is_dropped():
                raise log.fault(node) or NodeError(node.name, f"ssh ended with {code}")
        time.sleep(pause_s(tried))


def _backgrounded(line: list[str]) -> int:
    nothing = subprocess.DEVNULL
    try:
        done = subprocess.run(line, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True, check=False)
    except FileNotFoundError as error:
        raise openssh.absent() from error
    return done.returncode
