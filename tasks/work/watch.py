"""How a run looks from outside: plain lines where stderr is no terminal."""

import sys
import time
import typing

from tasks import words

if typing.TYPE_CHECKING:
    from tasks.work.mapper import Mapper
EVERY_S = 10.0


class PlainWatcher:
    """A line on stderr for what happens, and one every ten seconds."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._mapper: Mapper | None = None
        self._quiet = quiet
        self._next_s = time.monotonic() + EVERY_S

    def note(self, text: str) -> None:
        """Say one thing that happened."""
        sys.stderr.write(f"gaxx: {text}\n")
        sys.stderr.flush()

    def begin(self, mapper: "Mapper") -> None:
        """The run begins."""
        self._mapper = mapper

    def tick(self) -> None:
        """Write the line when it is time."""
        if self._quiet or time.monotonic() < self._next_s or self._mapper is None:
            return
        self._next_s = time.monotonic() + EVERY_S
        self.note(summary(self._mapper))

    def end(self) -> None:
        """Nothing is left to be cleaned up."""


def summary(mapper: "Mapper") -> str:
    """Say in one line how far it is."""
    from tasks.work.queue import State

    queue = mapper.queue
    bad = queue.number(State.FAILED) + queue.number(State.QUARANTINED)
    running = queue.number(State.LEASED)
    elapsed_s = time.monotonic() - mapper.started_s
    rate = sum(lane.ok + lane.failed for lane in mapper.lanes.values()) / max(elapsed_s, 0.001)
    total = str(queue.count) if queue.complete else f"{queue.count}+"
    left = queue.count - queue.done
    eta = f", {words.duration(left / rate)} left" if queue.complete and rate and left else ""
    return f"{queue.done}/{total} done, {bad} failed, {running} leased, {rate:.1f} items/s{eta}"
