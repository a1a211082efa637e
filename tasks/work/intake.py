"""Where the items come from: a file that is there already, or a pipe that is read while the run goes."""

import collections.abc
import os
import stat
import threading
import typing

from components.errors import GaxxError
from tasks.work import items

AHEAD_ITEMS = 1_000_000
AHEAD_BYTES = 256 * 1024 * 1024
"""An endless input is read so far ahead of the work, and no further."""
SHORT_INPUT_S = 0.3
"""A pipe that ends within so long has a known number of items from the start."""


class Input:
    """The source of one run's items and the spool that they go to."""

    def __init__(self, spool: items.Spool, source: typing.BinaryIO | None) -> None:
        self.error: GaxxError | None = None
        self._spool = spool
        self._source = source
        self._room = threading.Event()
        self._room.set()
        self._ended = threading.Event()
        self._grown: collections.abc.Callable[[], None] = lambda: None

    def open(self, *, whole: bool) -> None:
        """Begin to read: all of it now when it is a file or `whole` is wanted, else in a thread. Raise SpoolError."""
        if self._source is None:
            return
        if whole or stat.S_ISREG(os.fstat(self._source.fileno()).st_mode):
            self.read_all()
        else:
            self._start()

    def read_all(self) -> None:
        """Spool everything, now; raise SpoolError."""
        if self._source is not None:
            for block in items.blocks(self._source):
                self._spool.feed(block)
            self._spool.finish()

    def _start(self) -> None:
        # A daemon: nobody waits for an input that never ends once the run is over.
        threading.Thread(target=self._read, name="input", daemon=True).start()
        self._ended.wait(SHORT_INPUT_S)

    def follow(self, grown: collections.abc.Callable[[], None]) -> None:
        """Call `grown` (from the reading thread) whenever there is more."""
        self._grown = grown

    def make_room(self, done: int) -> None:
        """Say how many items are done: reading goes on when it is not too far ahead."""
        ahead = self._spool.count - done
        each = self._spool.size_bytes / max(self._spool.count, 1)
        if ahead > AHEAD_ITEMS and ahead * each > AHEAD_BYTES:
            self._room.clear()
        else:
            self._room.set()

    def _read(self) -> None:
        try:
            for block in items.blocks(typing.cast("typing.BinaryIO", self._source)):
                if self._spool.feed(block):
                    self._grown()
                self._room.wait()
            self._spool.finish()
        except GaxxError as error:
            self.error = error
        self._ended.set()
        self._grown()
