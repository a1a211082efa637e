"""When a run is over: every item has its answer, a limit is reached, the user says so, or nobody is left to go on."""

import dataclasses
import time
import typing

from tasks.work.commit import Committer
from tasks.work.halting import HaltPolicy
from tasks.work.lane import Lane
from tasks.work.options import MapOptions
from tasks.work.queue import LeaseQueue
from tasks.work.states import State

STOP_LIMIT_S = 20.0
"""How long called-off items may take to come back."""
READER_GONE_S = 2.0
"""Who closed the pipe expects us to go quickly."""


class Limit(typing.NamedTuple):
    """A limit that is reached."""

    reason: str
    now: bool
    """What runs is ended, too."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """Why and how a run ends before its items do."""

    reason: str
    now: bool
    interrupted: bool
    since_s: float


class Ending:
    """Decides whether a run goes on."""

    def __init__(self, options: MapOptions, queue: LeaseQueue, lanes: dict[str, Lane], committer: Committer) -> None:
        self.stop: Stop | None = None
        self.hoping = False
        """Somebody is being asked who may know how to reach the nodes that refused us."""
        self.hourly_usd = 0.0
        """What all nodes together cost; for `--max-cost`."""
        self._max_cost_usd = options.max_cost
        self._lease_s = options.lease_s
        self._halt = HaltPolicy.parse(options.halt)
        self._queue = queue
        self._lanes = lanes
        self._committer = committer
        self._started_s = self._alone_since_s = time.monotonic()

    def halt(self, reason: str, *, now: bool, interrupted: bool = False) -> bool:
        """Stop, `now` harder than before; return whether that is news."""
        if self.stop is not None and (self.stop.now or not now):
            return False
        interrupted = interrupted or (self.stop is not None and self.stop.interrupted)
        self.stop = Stop(reason, now, interrupted, time.monotonic())
        return True

    def halted_by_answers(self) -> Limit | None:
        """Return `--halt`, once the answers so far reach it."""
        if self._halt.when == "never":
            return None
        queue = self._queue
        bad = queue.items.number(State.FAILED) + queue.items.number(State.QUARANTINED)
        total = queue.count if queue.complete else 0
        if not self._halt.reached(ok=queue.items.number(State.OK), bad=bad, total=total):
            return None
        return Limit(f"halted: {self._halt}", now=self._halt.when == "now")

    def halted_by_time(self) -> Limit | None:
        """Return what ends the run without any further answer."""
        if self._committer.reader_gone:
            return Limit("nobody reads the output any more", now=True)
        spent_usd = self.hourly_usd * (time.monotonic() - self._started_s) / 3600
        if self._max_cost_usd and spent_usd >= self._max_cost_usd:
            return Limit(f"halted: the nodes have cost ${spent_usd:.2f} (--max-cost)", now=False)
        return None

    def is_over(self) -> bool:
        """Whether nothing more is to be waited for."""
        if self._queue.finished:
            return True
        if self.stop is None:
            return self._deserted()
        holders = self._queue.holders
        held = any(holders[name].holding for name, lane in self._lanes.items() if lane.stream.connected)
        limit_s = STOP_LIMIT_S if self.stop.now else float("inf")
        if self._committer.reader_gone:
            limit_s = READER_GONE_S
        return not held or time.monotonic() - self.stop.since_s > limit_s

    def _deserted(self) -> bool:
        """Whether nobody is left to do anything, for longer than a lease."""
        now_s = time.monotonic()
        holders = self._queue.holders
        alive = any(
            lane.stream.connected and (holders[name].takes_work or holders[name].holding)
            for name, lane in self._lanes.items()
        )
        if alive or self.hoping:
            self._alone_since_s = now_s
            return False
        hopeless = all(lane.stream.refused for lane in self._lanes.values())
        return hopeless or now_s - self._alone_since_s > self._lease_s
