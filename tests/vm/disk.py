"""The search of a machine's whole disk, deleted files and all, for values that were minted."""

import mmap
import os
import pathlib
import subprocess
from collections.abc import Iterator, Mapping

from components.inventory import Node
from tests.stack.project import Project


def telling(secret: str) -> bytes:
    """A part of a secret that occurs nowhere else: of a key in PEM one of its last lines."""
    lines = [line for line in secret.strip().splitlines() if not line.startswith("-----")]
    # The first lines of a private key are its format's, the last one may be short.
    return max(lines[-3:], key=len).encode()


def holds(vm: Project, node: Node, secrets: Mapping[str, str], folder: pathlib.Path) -> set[str]:
    """The names of the secrets that are on the machine's disk; `folder` has room for a copy of it."""
    raw = folder / "disk.raw"
    image = vm.machine(node.name) / "disk.qcow2"
    subprocess.run(["qemu-img", "convert", "-U", "-O", "raw", str(image), str(raw)], check=True)
    found = set()
    with raw.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as disk:
        for start, end in _extents(file.fileno()):
            for name, value in secrets.items():
                # One more page: a value may go on where the next extent begins.
                if disk.find(telling(value), start, end + mmap.PAGESIZE) >= 0:
                    found.add(name)
    raw.unlink()
    return found


def _extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """Where a sparse file has data."""
    end = 0
    while True:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end
