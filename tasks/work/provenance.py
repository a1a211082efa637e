"""Where a run comes from: commit, stack, builds and images, as far as they can be known without asking anybody."""

import collections.abc
import getpass
import os
import pathlib
import platform
import subprocess
import typing

from components import backend
from components.inventory import Node
from tasks.inventory import Found


def gather(found: Found, nodes: collections.abc.Sequence[Node]) -> dict[str, typing.Any]:
    """Return what every later reader of the run's results should be able to look up."""
    known = found.inventory
    return {
        "git": commit(pathlib.Path.cwd()),
        "controller": platform.node(),
        "user": _user(),
        "backend": known.backend_id,
        "update": update_of(found),
        "nodes": [
            {"name": node.name, "build": node.agent_build, "image": node.image, "type": node.type, "cloud": node.cloud,
             "region": node.region, "machine": node.machine_id}
            for node in nodes
        ],
    }  # fmt: skip


def update_of(found: Found) -> int | None:
    """Return the number of the stack's latest update; None where the backend would have to be asked.

    A backend in a folder keeps one file an update below .pulumi/history.
    """
    url = backend.current_backend_url(found.stack.root)
    if not url.startswith("file://"):
        return None
    path = pathlib.Path(url.removeprefix("file://").split("?", 1)[0]).expanduser()
    history = found.stack.root / path / ".pulumi" / "history" / found.stack.project / found.stack.name
    return len(list(history.glob("*.history.json"))) or None


def commit(folder: pathlib.Path) -> dict[str, typing.Any] | None:
    """Return the commit that is checked out in `folder`, and whether anything differs from it; None outside of Git."""
    head = _git(folder, "rev-parse", "--verify", "HEAD")
    if head is None:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    top = _git(folder, "rev-parse", "--show-toplevel") or ""
    return {"commit": head.strip(), "dirty": bool(changed), "root": top.strip()}


def _git(folder: pathlib.Path, *words: str) -> str | None:
    try:
        # Nothing of what a repository configures may be executed only because a run is started inside it.
        argv = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *words]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=10)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
