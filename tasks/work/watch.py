"""How a run looks from outside where stderr is no terminal: plain lines; and with `--json`, events."""

import contextlib
import json
import sys
import time
import typing

from tasks import words
from tasks.work.states import State

if typing.TYPE_CHECKING:
    from tasks.work.mapper import Mapper

EVERY_S = 10.0
REPEATED_S = 30.0
"""The same note about a node that is tried again and again is worth saying so often."""


class Told(typing.Protocol):
    """Where the run tells what a person should know."""

    def note(self, text: str) -> None:
        """Say one thing that happened."""


class PlainWatcher:
    """A line on stderr for what happens, and one every ten seconds."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.mapper: Mapper | None = None
        self._quiet = quiet
        self._next_s = time.monotonic() + EVERY_S
        self._said: dict[str, float] = {}

    def note(self, text: str) -> None:
        """Say one thing that happened, unless it has just been said."""
        now_s = time.monotonic()
        if now_s - self._said.get(text, -REPEATED_S) < REPEATED_S:
            return
        self._said[text] = now_s
        self._line(text)

    def begin(self, mapper: "Mapper") -> None:
        """The run begins."""
        self.mapper = mapper

    def tick(self) -> None:
        """Write the line when it is time."""
        if self._quiet or time.monotonic() < self._next_s or self.mapper is None:
            return
        self._next_s = time.monotonic() + EVERY_S
        self._line(summary(self.mapper))

    def end(self) -> None:
        """Nothing is left to be cleaned up."""

    def aside(self) -> contextlib.AbstractContextManager[None]:
        """Whole lines get along with everything."""
        return contextlib.nullcontext()

    def _line(self, text: str) -> None:
        sys.stderr.write(f"gaxx: {text}\n")
        sys.stderr.flush()


class JsonWatcher(PlainWatcher):
    """JSON lines on stdout instead, among those of the items."""

    def begin(self, mapper: "Mapper") -> None:
        """Say what begins."""
        super().begin(mapper)
        total = mapper.queue.count if mapper.queue.complete else None
        self._event("run", run=mapper.run_id, total=total, nodes=list(mapper.lanes), done=mapper.queue.items.answered)

    def tick(self) -> None:
        """Say how far it is, when it is time."""
        if time.monotonic() < self._next_s or self.mapper is None:
            return
        self._next_s = time.monotonic() + EVERY_S
        self._event("progress", **progress(self.mapper))

    def _line(self, text: str) -> None:
        self._event("note", text=text)

    def _event(self, name: str, **fields: object) -> None:
        line = json.dumps({"event": name, **fields}, ensure_ascii=False)
        sys.stdout.buffer.write(line.encode() + b"\n")
        sys.stdout.buffer.flush()


def progress(mapper: "Mapper") -> dict[str, typing.Any]:
    """Say in numbers how far it is."""
    queue = mapper.queue
    elapsed_s = max(time.monotonic() - mapper.started_s, 0.001)
    answered = sum(lane.ok + lane.failed for lane in mapper.lanes.values())
    rate = answered / elapsed_s
    left = queue.count - queue.items.answered
    return {
        "done": queue.items.answered,
        "total": queue.count if queue.complete else None,
        "failed": queue.items.number(State.FAILED) + queue.items.number(State.QUARANTINED),
        "leased": queue.items.number(State.LEASED),
        "items_per_s": round(rate, 2),
        "eta_s": round(left / rate, 1) if queue.complete and rate else None,
    }


def summary(mapper: "Mapper") -> str:
    """Say in one line how far it is."""
    now = progress(mapper)
    total = now["total"] if now["total"] is not None else f"{mapper.queue.count}+"
    eta = f", {words.duration(now['eta_s'])} left" if now["eta_s"] else ""
    counts = f"{now['done']}/{total} done, {now['failed']} failed, {now['leased']} leased"
    return f"{counts}, {now['items_per_s']:.1f} items/s{eta}"
