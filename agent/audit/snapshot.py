"""The audit trail as it lies on the disk at one moment, for whoever asks to read it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_SEQUENCE = re.compile(rb'\{"seq":([0-9]{1,18}),')
_BLOCK_BYTES = 256 * 1024


class Head(NamedTuple):
    """The last line of the trail: its number and sha256."""

    sequence: int
    sha256: str


class Part(NamedTuple):
    """Lines of one file, byte for byte. `line` is the number of the first in its file, from 1."""

    file: str
    line: int
    data: bytes


class Snapshot:
    """Lines at one moment; may be read in another thread, whatever is appended or dropped meanwhile."""

    def __init__(self, folder: Path, names: list[str], head: Head, sequence: int) -> None:
        self.head = head
        self.oldest = int(names[0][:12]) if names else 0
        self._sequence = sequence
        first = max((index for index, name in enumerate(names) if int(name[:12]) <= sequence), default=0)
        self._files: list[tuple[str, int, int]] = []
        try:
            for name in names[first:]:
                descriptor = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC)
                self._files.append((name, descriptor, os.fstat(descriptor).st_size))
        except OSError:
            self.close()
            raise

    def parts(self) -> Iterator[Part]:
        """Yield the lines, in parts of some hundred KiB. Raises OSError."""
        begun = False
        for name, descriptor, size_bytes in self._files:
            line = 1
            for block in _whole_lines(descriptor, size_bytes):
                data = block
                if not begun:
                    skipped, data = _skip(block, self._sequence)
                    line += skipped
                    begun = bool(data)
                if data:
                    yield Part(name, line, data)
                    line += data.count(b"\n")

    def close(self) -> None:
        """Let go of the files."""
        files, self._files = self._files, []
        for _, descriptor, _ in files:
            os.close(descriptor)


def _whole_lines(descriptor: int, size_bytes: int) -> Iterator[bytes]:
    rest, at = b"", 0
    while at < size_bytes:
        block = os.pread(descriptor, min(_BLOCK_BYTES, size_bytes - at), at)
        if not block:
            break
        at += len(block)
        whole, newline, tail = (rest + block).rpartition(b"\n")
        rest = tail
        if newline:
            yield whole + newline
    if rest:
        # No newline at the end: somebody has cut the file. Whoever reads it shall see that.
        yield rest


def _skip(block: bytes, sequence: int) -> tuple[int, bytes]:
    """Return how many lines come before the one numbered `sequence`, and the block from there."""
    lines = block.splitlines(keepends=True)
    for index, line in enumerate(lines):
        found = _SEQUENCE.match(line)
        if found and int(found[1]) >= sequence:
            return index, b"".join(lines[index:])
    return len(lines), b""
