"""Where the tests of file transfers look: folders on the nodes, and what the program said."""

import json
import pathlib
import subprocess
from typing import Any

from tests.tasks.fleet import Machine

Answer = subprocess.CompletedProcess[bytes]


def home(machine: Machine) -> pathlib.Path:
    """The operator's work folder on a node."""
    return machine.folder / "var/lib/gaxx/ada"


def events(answer: Answer, kind: str) -> list[dict[str, Any]]:
    """The events of one kind, of what --json printed."""
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    return [line for line in lines if line["event"] == kind]


def ledger(answer: Answer) -> dict[str, Any]:
    """The last line."""
    [line] = events(answer, "ledger")
    return line


def tree(folder: pathlib.Path) -> dict[str, tuple[bytes, int]]:
    """Content and mode of every file below a folder."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o7777)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def make(folder: pathlib.Path, files: dict[str, bytes], mode: int = 0o644) -> pathlib.Path:
    """Write files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
    return folder
