"""What an item writes: pipes that are read without blocking, counted, cut at a limit, kept or streamed."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

CHUNK_BYTES = 64 * 1024
# Read at most so much of one pipe before the others get their turn.
TURN_BYTES = 4 * CHUNK_BYTES
DEFAULT_LIMIT_BYTES = 64 * 1024 * 1024
DEFAULT_INLINE_BYTES = 64 * 1024
# What a stream may send before the client has taken any of it.
WINDOW_BYTES = 256 * 1024


class Output:
    """The read end of one pipe. `seen_bytes` counts all that was written, also what was cut."""

    __slots__ = ("cut", "fd", "is_open", "limit_bytes", "seen_bytes", "watched")

    def __init__(self, fd: int, limit_bytes: int) -> None:
        self.fd = fd
        self.limit_bytes = limit_bytes or DEFAULT_LIMIT_BYTES
        self.seen_bytes = 0
        self.cut = False
        self.is_open = True
        self.watched = False

    @property
    def blocked(self) -> bool:
        """Whether reading has to wait for the client."""
        return False

    def read(self) -> bool:
        """Take what is there, a turn's worth at most. Return whether the pipe has ended."""
        taken = 0
        while taken < TURN_BYTES and not self.blocked:
            try:
                data = os.read(self.fd, self._want())
            except BlockingIOError:
                return False
            if not data:
                return True
            taken += len(data)
            room = self.limit_bytes - self.seen_bytes
            self.seen_bytes += len(data)
            if room < len(data):
                self.cut = True
                data = data[: max(0, room)]
            if data:
                self._keep(data)
        return False

    def close(self) -> None:
        """Close the pipe; harmless when closed."""
        if self.is_open:
            self.is_open = False
            os.close(self.fd)

    def _want(self) -> int:
        return CHUNK_BYTES

    def _keep(self, data: bytes) -> None:
        raise NotImplementedError


class StreamedOutput(Output):
    """Hands on what it reads, and stops reading while the client has not taken enough of it."""

    __slots__ = ("_emit", "window_bytes")

    def __init__(self, fd: int, limit_bytes: int, emit: Callable[[bytes], None]) -> None:
        super().__init__(fd, limit_bytes)
        self.window_bytes = WINDOW_BYTES
        self._emit: Callable[[bytes], None] | None = emit

    @property
    def blocked(self) -> bool:
        """Whether the window is used up. What is cut needs no window."""
        return self._emit is not None and self.window_bytes <= 0 and self.seen_bytes < self.limit_bytes

    def orphan(self) -> None:
        """Go on reading for nobody: the process must not notice that its client is gone."""
        self._emit = None

    def _keep(self, data: bytes) -> None:
        if self._emit is not None:
            self.window_bytes -= len(data)
            self._emit(data)


class CollectedOutput(Output):
    """Keeps the first part in memory and, given a spool folder, the whole in a file there."""

    __slots__ = ("_file", "_folder", "_inline_bytes", "_name", "error", "held", "inline")

    def __init__(self, fd: int, limit_bytes: int, inline_bytes: int, folder: bytes, name: str) -> None:
        super().__init__(fd, limit_bytes)
        self.inline = bytearray()
        self.error = ""
        self._inline_bytes = inline_bytes or DEFAULT_INLINE_BYTES
        self._folder = folder
        self._name = name
        self._file = -1
        # Whether the spool folder has more than `inline`.
        self.held = False

    def close(self) -> None:
        """Close the pipe and the spool file."""
        super().close()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _keep(self, data: bytes) -> None:
        if self.error:
            self.cut = True
            return
        if not self.held:
            room = self._inline_bytes - len(self.inline)
            if len(data) <= room:
                self.inline += data
                return
            if not self._folder:
                self.inline += data[: max(0, room)]
                self.cut = True
                return
            self._spool(bytes(self.inline), opens=True)
            self.inline += data[:room]
        self._spool(data)

    def _spool(self, data: bytes, *, opens: bool = False) -> None:
        if self.error:
            return
        try:
            if opens:
                folder = Path(os.fsdecode(self._folder))
                # The agent may be another user, of the same group.
                folder.mkdir(mode=0o770, parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
                self._file = os.open(folder / self._name, flags, 0o640)
                self.held = True
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as fault:
            # The process goes on and its output is counted: a full disk here is not its failure.
            what = "no space left" if fault.errno == errno.ENOSPC else (fault.strerror or "input/output error")
            self.error = f"{self._name} cut: {what} in the spool folder"
            self.cut = True
