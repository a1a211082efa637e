"""What a person sees while something takes minutes: one line on a terminal, now and then a line elsewhere."""

import sys
import threading
import time
import types
import typing

TERMINAL_INTERVAL_S = 0.5
LOG_INTERVAL_S = 30.0


class Progress:
    """Shows `<title>: <state> (m:ss)` on stderr for as long as the `with` block lasts.

    `say` may be called from any thread; the line is drawn from one of its own, so that the clock goes on
    when there is nothing new.
    """

    def __init__(self, title: str, stream: typing.TextIO | None = None) -> None:
        self._title = title
        self._stream = stream if stream is not None else sys.stderr
        self._terminal = self._stream.isatty()
        self._state = ""
        self._started = time.monotonic()
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def say(self, state: str) -> None:
        """Replace what is being done."""
        self._state = state

    def __enter__(self) -> typing.Self:
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self._finished.set()
        self._thread.join()
        if self._terminal:
            # Wipe the line: what is worth keeping is said by whoever knows how it ended.
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _run(self) -> None:
        interval_s = TERMINAL_INTERVAL_S if self._terminal else LOG_INTERVAL_S
        while not self._finished.wait(interval_s):
            self._draw()

    def _draw(self) -> None:
        minutes, seconds = divmod(int(self.elapsed_s), 60)
        state = f": {self._state}" if self._state else ""
        line = f"{self._title}{state} ({minutes}:{seconds:02})"
        self._stream.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
        self._stream.flush()
