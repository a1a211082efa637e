"""What a person or a program sees while a command is on its nodes: progress, streamed lines, events."""

import sys

from tasks.outcome import Outcome
from tasks.run import report
from tasks.run.progress import Progress
from tasks.selection import fold_names

_COLOURS = (b"\x1b[36m", b"\x1b[35m", b"\x1b[34m", b"\x1b[33m", b"\x1b[32m", b"\x1b[96m")
_RESET = b"\x1b[0m"


class Live:
    """The listener of a run: folds at the end, or streams, or prints JSON lines."""

    def __init__(
        self, nodes: tuple[str, ...], paper: report.Paper, *, stream: bool = False, as_json: bool = False
    ) -> None:
        self._paper, self._stream, self._as_json = paper, stream, as_json
        self._progress = Progress(nodes, sys.stderr, enabled=sys.stderr.isatty() and not stream)
        self._partial: dict[tuple[str, bool], bytes] = {}
        self._width = max(map(len, nodes), default=0)
        self._colours = {node: _COLOURS[index % len(_COLOURS)] for index, node in enumerate(nodes)}

    def output(self, node: str, data: bytes, *, is_stderr: bool) -> bool:
        """Print whole lines as they come when streaming; True then: they need not be kept."""
        if not self._stream:
            return False
        lines = (self._partial.pop((node, is_stderr), b"") + data).split(b"\n")
        if lines[-1]:
            self._partial[node, is_stderr] = lines[-1]
        for line in lines[:-1]:
            self._line(node, line + b"\n", is_stderr=is_stderr)
        return True

    def finished(self, outcome: Outcome) -> None:
        """Count it; when streaming, end its last line and say how it ended where that is not well."""
        self._progress.finished(outcome)
        for is_stderr in (False, True):
            rest = self._partial.pop((outcome.node, is_stderr), b"")
            if rest:
                self._line(outcome.node, rest if self._as_json else rest + b"\n", is_stderr=is_stderr)
        if self._as_json:
            self._event(report.as_dict(outcome))
        elif self._stream and not outcome:
            self.note(f"{outcome.node}: {outcome.describes}")

    def note(self, text: str) -> None:
        """Write a line for the person, above the progress."""
        self._progress.clear()
        self._paper.line(f"gaxx: {text}")

    def interrupted(self, count: int) -> None:
        """Say what Ctrl-C did, and who is still missing."""
        waiting = self._progress.waiting
        missing = f"waiting for {fold_names(waiting)}" if waiting else "all have answered"
        self.note(f"stopping: {missing}; Ctrl-C again ends it now" if count == 1 else f"ending it now: {missing}")

    def close(self) -> None:
        """Wipe the progress line."""
        self._progress.clear()

    def _line(self, node: str, line: bytes, *, is_stderr: bool) -> None:
        if self._as_json:
            stream = "stderr" if is_stderr else "stdout"
            self._event({"event": "output", "node": node, "stream": stream, **report.text_or_base64("data", line)})
            return
        file = self._paper.err if is_stderr else self._paper.out
        coloured = self._paper.colour_err if is_stderr else self._paper.colour_out
        prefix = f"{node + ':':<{self._width + 1}} ".encode()
        file.write((self._colours[node] + prefix + _RESET if coloured else prefix) + line)
        file.flush()

    def _event(self, event: dict[str, object]) -> None:
        self._progress.clear()
        self._paper.out.write(report.json_line(event))
        self._paper.out.flush()
