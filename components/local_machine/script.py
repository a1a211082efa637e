"""What runs as a local node's own account: boot, look, stop, remove. Standard library only, no imports of ours.

The provider may be root, and items may do what they like in the machine's folder (a symbolic link instead of a
folder, say): so nothing but the account itself ever writes there. The provider feeds this text to a bare
Python of the system that runs as the account; the request comes as JSON on standard input, the answer
goes out as JSON on standard output.
"""

import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import Any

SSHD = "/usr/sbin/sshd"
BOOT_LIMIT_S = 20.0
TERM_GRACE_S = 3.0


class ScriptError(Exception):
    """What went wrong, for a person."""


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    verbs = {"boot": boot, "stop": stop, "remove": remove}
    try:
        answer = verbs[request["verb"]](request)
    except ScriptError as error:
        answer = {"error": str(error)}
    except OSError as error:
        answer = {"error": f"{error.strerror}: {error.filename or request['root']}"}
    json.dump(answer, sys.stdout)


def boot(request: dict[str, Any]) -> dict[str, Any]:
    """Write what is not there yet, start sshd, wait for its banner. Asked again, only start what is dead."""
    root = pathlib.Path(request["root"])
    marker = root / "machine.json"
    if not marker.exists():
        # Whoever deleted the folder of a machine that runs has left its processes, and with them its ports.
        stop(request)
        for folder in ("etc/ssh", "etc/gaxx", "run", "var/log", "var/lib/gaxx", "home"):
            (root / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        for file in request["files"]:
            _write(root, file["path"], file["content"], file["mode"])
        _write(root, "/etc/gaxx/machine.json", json.dumps(request["machine"], sort_keys=True), 0o600)
        # The marker comes last: a machine whose boot was interrupted is written anew.
        _write(root, "/machine.json", json.dumps(request["marker"], sort_keys=True), 0o600)
    address, port = request["address"], request["port"]
    if _banner(address, port):
        return {"started": False}
    if not os.access(SSHD, os.X_OK):
        message = f"{SSHD} is missing: install openssh-server"
        raise ScriptError(message)
    log = root / "var/log/sshd.log"
    process = subprocess.Popen(
        [*request["limits"], SSHD, "-D", "-f", str(root / "etc/ssh/sshd_config"), "-E", str(log)],
        cwd=root / "home",
        env={"PATH": request["path"], "GAXX_MACHINE": request["machine"]["machine"], "GAXX_ROOT": str(root)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    exited = os.pidfd_open(process.pid)
    deadline = time.monotonic() + BOOT_LIMIT_S
    while not _banner(address, port):
        # No event tells that a stranger's socket listens; a dead process does tell.
        if select.select([exited], [], [], 0.02)[0] or time.monotonic() > deadline:
            tail = log.read_text(errors="replace").strip().splitlines()[-3:] if log.exists() else []
            message = f"sshd did not come up on {address}:{port}: {'; '.join(tail) or 'no log'}"
            raise ScriptError(message)
    return {"started": True}


def stop(request: dict[str, Any]) -> dict[str, Any]:
    """End every process of the machine: TERM, then KILL."""
    root = request["root"]
    ended = 0
    for number, grace_s in ((signal.SIGTERM, TERM_GRACE_S), (signal.SIGKILL, TERM_GRACE_S)):
        processes = _processes(root, request["id"])
        ended += len(processes) if number == signal.SIGTERM else 0
        descriptors = []
        for pid in processes:
            try:
                descriptors.append(os.pidfd_open(pid))
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + grace_s
        while descriptors and time.monotonic() < deadline:
            gone, _, _ = select.select(descriptors, [], [], max(0.0, deadline - time.monotonic()))
            descriptors = [descriptor for descriptor in descriptors if descriptor not in gone]
    left = _processes(root, request["id"])
    if left:
        message = f"processes {left} of the machine in {root} do not end"
        raise ScriptError(message)
    return {"ended": ended}


def remove(request: dict[str, Any]) -> dict[str, Any]:
    """Stop the machine and delete its folder; one that is gone already is fine."""
    answer = stop(request)
    root = pathlib.Path(request["root"])
    if root.exists():
        _unlock(root)
        shutil.rmtree(root)
    return answer


def _write(root: pathlib.Path, path: str, content: str, mode: int) -> None:
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    target.chmod(mode)


def _unlock(root: pathlib.Path) -> None:
    # An item may have left folders that even their owner cannot enter.
    for folder, names, _ in os.walk(root):
        for name in names:
            path = pathlib.Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o700)


def _banner(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _processes(root: str, machine: str) -> list[int]:
    """All processes that the machine started: by folder, by command line, by environment, or as their children."""
    mark = f"GAXX_MACHINE={machine}".encode()
    below = root + "/"
    parents: dict[int, int] = {}
    found: set[int] = set()
    for folder in pathlib.Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        pid = int(folder.name)
        try:
            stat = (folder / "stat").read_text(errors="replace")
            state, parent, _, _, terminal = stat.rpartition(")")[2].split()[:5]
            if state == "Z":
                continue
            parents[pid] = int(parent)
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # gone meanwhile
        cwd, environment = "", b""
        # Closed for other users' processes, and by the agent for its own; its command line tells.
        with contextlib.suppress(OSError):
            cwd = str((folder / "cwd").readlink())
            environment = (folder / "environ").read_bytes()
        # A shell or an editor of the user in the machine's folder has a terminal; what the machine started has
        # none, or descends from something that has none.
        near = terminal == "0" and ((cwd + "/").startswith(below) or below.encode() in command)
        if near or mark in environment.split(b"\0"):
            found.add(pid)
    grown = True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in found and pid not in found}
        children.discard(os.getppid())
        found |= children
        grown = bool(children)
    return sorted(found)


if __name__ == "__main__":
    main()
