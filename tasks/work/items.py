"""The input of a run, spooled: bytes and offsets on disk, so that a million items cost no memory.

Two files: `input` holds the items as they came, each with its delimiter, and `input.offsets` where each ends.
One process writes (the controller of the run); reading is by position, at any time.
"""

import array
import contextlib
import hashlib
import itertools
import os
import pathlib
import typing

from tasks.work.errors import SpoolError

DATA = "input"
OFFSETS = "input.offsets"
OFFSET_BYTES = 8
READ_LIMIT_BYTES = 1 << 20
"""What one read returns at most, unless a single item is longer."""
DIGEST_DIGITS = 32
"""Of an item's sha256 in the journal: 128 bits tell any two inputs apart."""


def digest(item: bytes) -> str:
    """Name an item by its bytes; together with the occurrence of these bytes it is the item's identity."""
    return hashlib.sha256(item).hexdigest()[:DIGEST_DIGITS]


class Spool:
    """The items of one run: appended to while the input is read, read by position.

    `delimiter` is one byte; with `chunk` > 1 so many lines (delimiters between them kept) are one item.
    """

    def __init__(self, folder: pathlib.Path, *, delimiter: bytes = b"\n", chunk: int = 1) -> None:
        self.count = 0
        """Items that can be read."""
        self.complete = False
        self.size_bytes = 0
        self._delimiter = delimiter
        self._chunk = chunk
        self._lines_open = 0
        self._line_open = False
        self._sha256 = hashlib.sha256()
        with contextlib.ExitStack() as stack:
            try:
                self._data = _open(folder / DATA)
                stack.callback(os.close, self._data)
                self._offsets = _open(folder / OFFSETS)
                stack.callback(os.close, self._offsets)
            except OSError as error:
                message = f"{error.filename}: {error.strerror}"
                raise SpoolError(message) from error
            self._files = stack.pop_all()

    @classmethod
    def reopen(cls, folder: pathlib.Path, *, delimiter: bytes = b"\n", chunk: int = 1, sha256: str = "") -> "Spool":
        """Open what an earlier process spooled; `complete` when all of it is there and, if given, is `sha256`."""
        spool = cls(folder, delimiter=delimiter, chunk=chunk)
        offsets_bytes = os.fstat(spool._offsets).st_size
        spool.count = offsets_bytes // OFFSET_BYTES
        end = spool._ends(spool.count - 1, 1)[0] if spool.count else 0
        # Data is written before its offsets: more data than offsets is a tail that a dying controller left.
        if os.fstat(spool._data).st_size < end:
            message = f"{folder / DATA} is shorter than its offsets say"
            raise SpoolError(message, hint="start the run anew")
        spool.size_bytes = end
        if sha256:
            position = 0
            while position < end:
                block = os.pread(spool._data, min(READ_LIMIT_BYTES, end - position), position)
                spool._sha256.update(block)
                position += len(block)
            spool.complete = spool.sha256 == sha256
        return spool

    @property
    def sha256(self) -> str:
        """Of all bytes so far; of the whole input once it is complete."""
        return self._sha256.hexdigest()

    def feed(self, block: bytes) -> int:
        """Append what was read next and return how many items that completed; raise SpoolError (disk full)."""
        if not block:
            return 0
        pieces = block.split(self._delimiter)
        last = pieces.pop()
        base = self.size_bytes
        self._write(self._data, block)
        self._sha256.update(block)
        self.size_bytes += len(block)
        self._line_open = bool(last) or (self._line_open and not pieces)
        lengths = map((1).__add__, map(len, pieces))
        ends = array.array("Q", itertools.accumulate(lengths, initial=base))[1:]
        return self._complete_lines(ends)

    def finish(self) -> int:
        """The input has ended: close the last item, also one without a delimiter; return how many that made."""
        made = 0
        if self._line_open:
            made = self.feed(self._delimiter)
        if self._lines_open:
            self._lines_open = 0
            self._append_ends(array.array("Q", (self.size_bytes,)))
            made += 1
        self.complete = True
        return made

    def read(self, start: int, count: int) -> list[bytes]:
        """Return up to `count` items from `start`, at least one, and not many more than READ_LIMIT_BYTES."""
        first = max(start - 1, 0)
        ends = self._ends(first, count + (start - first))
        begin = ends.pop(0) if start else 0
        if not ends:
            message = f"item {start} is not in the spool"
            raise SpoolError(message)
        wanted = len(ends)
        while wanted > 1 and ends[wanted - 1] - begin > READ_LIMIT_BYTES:
            wanted = (wanted + 1) // 2
        data = self._pread(begin, ends[wanted - 1] - begin)
        items = []
        position = 0
        for end in ends[:wanted]:
            items.append(data[position : end - begin - 1])
            position = end - begin
        return items

    def sync(self) -> None:
        """Have it all on disk; raise SpoolError."""
        try:
            os.fdatasync(self._data)
            os.fdatasync(self._offsets)
        except OSError as error:
            raise _storing(error) from error

    def close(self) -> None:
        """Close the files; the spool stays on disk."""
        self._files.close()

    def _complete_lines(self, ends: "array.array[int]") -> int:
        if self._chunk > 1:
            lines = self._lines_open + len(ends)
            ends = ends[self._chunk - 1 - self._lines_open :: self._chunk]
            self._lines_open = lines % self._chunk
        self._append_ends(ends)
        return len(ends)

    def _append_ends(self, ends: "array.array[int]") -> None:
        self._write(self._offsets, ends.tobytes())
        self.count += len(ends)

    def _ends(self, first: int, count: int) -> list[int]:
        data = os.pread(self._offsets, count * OFFSET_BYTES, first * OFFSET_BYTES)
        ends = array.array("Q")
        ends.frombytes(data[: len(data) // OFFSET_BYTES * OFFSET_BYTES])
        return ends.tolist()

    def _pread(self, position: int, length: int) -> bytes:
        data = os.pread(self._data, length, position)
        while len(data) < length:
            more = os.pread(self._data, length - len(data), position + len(data))
            if not more:
                message = "the spooled input has been cut while the run went on"
                raise SpoolError(message)
            data += more
        return data

    def _write(self, descriptor: int, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError as error:
            raise _storing(error) from error


def _open(path: pathlib.Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _storing(error: OSError) -> SpoolError:
    return SpoolError(f"the input cannot be stored: {error.strerror}", hint="free some space and start the run again")


def blocks(stream: typing.BinaryIO, size_bytes: int = READ_LIMIT_BYTES) -> typing.Iterator[bytes]:
    """Read a file or pipe to its end, whatever is there at a time; raise SpoolError."""
    descriptor = stream.fileno()
    while True:
        try:
            block = os.read(descriptor, size_bytes)
        except OSError as error:
            message = f"the input cannot be read: {error.strerror}"
            raise SpoolError(message) from error
        if not block:
            return
        yield block
