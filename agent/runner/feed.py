"""The stdin of an item: a pipe that is written without blocking."""

import os
from collections.abc import Callable

from agent.runner.loop import WRITE, Loop


class Feed:
    """Owns the write end. What the process does not read is dropped when it closes its stdin."""

    __slots__ = ("_fd", "_loop", "_pending", "_taken", "_watched", "ended")

    def __init__(self, loop: Loop, fd: int, taken: Callable[[int], None] | None) -> None:
        self._loop = loop
        self._fd = fd
        self._pending = bytearray()
        self._taken = taken
        self._watched = False
        self.ended = False

    def write(self, data: bytes, *, eof: bool) -> None:
        """Give the process `data`, now or as it reads; then, on `eof`, the end."""
        if self._fd < 0 or self.ended:
            if data and self._taken is not None:
                self._taken(len(data))
            return
        self._pending += data
        self.ended = eof
        self._push()

    def close(self) -> None:
        """Close the pipe, whatever is pending."""
        if self._fd < 0:
            return
        if self._watched:
            self._loop.unwatch(self._fd)
        os.close(self._fd)
        self._fd = -1
        dropped = len(self._pending)
        self._pending.clear()
        if dropped and self._taken is not None:
            self._taken(dropped)

    def _push(self) -> None:
        while self._pending:
            try:
                count = os.write(self._fd, memoryview(self._pending)[:65536])
            except BlockingIOError:
                if not self._watched:
                    self._watched = True
                    self._loop.watch(self._fd, WRITE, self._push)
                return
            except OSError:
                # EPIPE: the process reads no more, which is its right.
                self.close()
                return
            del self._pending[:count]
            if self._taken is not None:
                self._taken(count)
        if self.ended:
            self.close()
        elif self._watched:
            self._watched = False
            self._loop.unwatch(self._fd)
