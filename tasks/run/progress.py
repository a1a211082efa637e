"""One line on the terminal that says how far a fan-out is; nothing where stderr is no terminal."""

import collections.abc
import time
import typing

from tasks.outcome import Outcome

_INTERVAL_S = 0.1
_NAMES_SHOWN = 60


class Progress:
    """Counts outcomes and repaints one line, ten times a second at most."""

    def __init__(self, nodes: collections.abc.Iterable[str], file: typing.TextIO, *, enabled: bool) -> None:
        self._waiting = dict.fromkeys(nodes)
        self._total = len(self._waiting)
        self._bad = 0
        self._file, self._enabled = file, enabled
        self._painted = False
        self._last_s = time.monotonic()

    def finished(self, outcome: Outcome) -> None:
        """Count one."""
        self._waiting.pop(outcome.node, None)
        self._bad += not outcome
        # The first tenth of a second stays silent: most runs are over by then.
        if self._enabled and time.monotonic() - self._last_s >= _INTERVAL_S:
            self._paint()

    def clear(self) -> None:
        """Wipe the line, so that something else can be written."""
        if self._painted:
            self._file.write("\r\x1b[K")
            self._file.flush()
            self._painted = False

    @property
    def waiting(self) -> tuple[str, ...]:
        """The nodes that have not answered yet."""
        return tuple(self._waiting)

    def _paint(self) -> None:
        from tasks.selection import fold_names

        self._last_s = time.monotonic()
        names = fold_names(self._waiting) if self._waiting else ""
        waiting = f", waiting for {names[:_NAMES_SHOWN]}" if names else ""
        bad = f", {self._bad} not ok" if self._bad else ""
        self._file.write(f"\r\x1b[K{self._total - len(self._waiting)}/{self._total} done{bad}{waiting}")
        self._file.flush()
        self._painted = True
