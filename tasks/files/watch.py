"""What a person or a program sees of a transfer: a bar on a terminal, now and then a line elsewhere, JSON events."""

import collections.abc
import os
import sys
import threading
import time
import typing

from tasks import words
from tasks.files.results import GOOD, FileResult, NodeReport, State, printable
from tasks.run import report

if typing.TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_INTERVAL_S = 10.0


class Watch:
    """The listener of a transfer; a context manager. `told` and `moved` may be called from any thread."""

    def __init__(self, nodes: int, total_bytes: int, *, as_json: bool = False, names_paths: bool = False) -> None:
        """`total_bytes` over all nodes, 0 when nobody knows; `names_paths`: write where files lie here on stdout."""
        self._nodes, self._total_bytes = nodes, total_bytes
        self._as_json, self._names_paths = as_json, names_paths
        self._lock = threading.Lock()
        self._named: set[str] = set()
        self._moved_bytes = self._through = 0
        self._next_line_s = time.monotonic() + LINE_INTERVAL_S
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> typing.Self:
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not (self._as_json and sys.stdout.isatty()):
            self._bar, self._task = _bar(self._total_bytes)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._bar is not None:
                self._bar.stop()
                self._bar = None

    def told(self, result: FileResult) -> None:
        """Write the event, or the path."""
        if result.state is State.UNCHANGED:
            self.moved(result.node, result.size_bytes)
        if self._as_json:
            self._write(report.json_line(result.as_dict()))
        elif self._names_paths and result.state in GOOD and result.local not in self._named:
            # Nodes with the same content share one file here.
            self._named.add(result.local)
            self._write(os.fsencode(result.local) + b"\n")

    def moved(self, node: str, size_bytes: int) -> None:
        """Count bytes that are there, or on their way."""
        del node
        with self._lock:
            self._moved_bytes += size_bytes
            if self._bar is not None and self._task is not None:
                self._bar.update(self._task, completed=self._moved_bytes)
            elif not self._as_json and time.monotonic() >= self._next_line_s:
                self._next_line_s = time.monotonic() + LINE_INTERVAL_S
                of = f" of {words.size(self._total_bytes)}" if self._total_bytes else ""
                self._line(f"{words.size(self._moved_bytes)}{of}, {self._through} of {self._nodes} nodes through")

    def answered(self, report_of_node: NodeReport) -> None:
        """Count a node."""
        del report_of_node
        with self._lock:
            self._through += 1
            if self._bar is not None and self._task is not None:
                self._bar.update(self._task, description=f"{self._through}/{self._nodes} nodes")

    def note(self, text: str) -> None:
        """Write a line for the person, above the bar."""
        with self._lock:
            self._line(text)

    def events(self, lines: collections.abc.Iterable[dict[str, object]]) -> None:
        """Write events."""
        for line in lines:
            self._write(report.json_line(line))

    def _line(self, text: str) -> None:
        line = f"gaxx: {printable(text)}"
        if self._bar is not None:
            self._bar.console.out(line, highlight=False)
        else:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def _write(self, data: bytes) -> None:
        with self._lock:
            if self._bar is not None and sys.stdout.isatty():
                # The bar's own console knows where the cursor is.
                self._bar.console.out(data.decode("utf-8", "backslashreplace").rstrip("\n"), highlight=False)
                return
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


def _bar(total_bytes: int) -> "tuple[Progress, TaskID]":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    return bar, bar.add_task("", total=total_bytes or None)
