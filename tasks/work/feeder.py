"""Leases out: who gets how much of what is pending, and when; second copies and time limits of what is out."""

import collections.abc
import time

from agent.proto import agent_pb2 as pb
from tasks.work.commit import Committer, Returned
from tasks.work.durations import Durations
from tasks.work.lane import Lane
from tasks.work.leases import LeaseWriter
from tasks.work.options import MapOptions
from tasks.work.queue import Grant, LeaseQueue
from tasks.work.states import Effect, State
from tasks.work.throttle import Canary, TokenBucket

BACKLOG_LIMIT_BYTES = 64 * 1024 * 1024
"""Of results that wait to be written or shown: above it nothing more is leased."""
STRAGGLER_FACTOR = 2.0
STRAGGLER_LEAST_S = 1.0
"""An item may get a second copy when it is out for so long, and for so many medians."""


class Feeder:
    """Hands the queue's items to the lanes; `settle` takes what cannot even be sent."""

    def __init__(
        self,
        options: MapOptions,
        queue: LeaseQueue,
        lanes: dict[str, Lane],
        committer: Committer,
        leases: LeaseWriter,
        settle: collections.abc.Callable[[Lane, Returned], None],
    ) -> None:
        self.hungry = False
        """Something came back into the queue: every node may want it."""
        self.stopped = False
        """Nothing more is to be handed out."""
        self.canary = Canary(options.canary) if options.canary else None
        self.successes = Durations()
        self._queue = queue
        self._lanes = lanes
        self._committer = committer
        self._leases = leases
        self._settle = settle
        self._speculates = options.speculate
        self._limit = options.time_limit
        self._bucket = TokenBucket(options.rate)

    def feed(self, lane: Lane) -> None:
        """Top up one node, or all when something came back."""
        if self.hungry:
            self.feed_all()
        else:
            self._feed(lane)

    def feed_all(self) -> None:
        """Top up every node."""
        self.hungry = False
        for lane in self._lanes.values():
            self._feed(lane)

    def tick(self, seconds: float) -> None:
        """So much time has gone by: what is held back by time may go."""
        self._bucket.refill(seconds)
        self._end_overdue()
        self.feed_all()
        self._speculate()

    def answered(self, effect: Effect, wall_s: float) -> None:
        """An item came back: learn from it."""
        if effect is Effect.OK:
            self.successes.add(wall_s)
        if effect in (Effect.RETRY, Effect.REQUEUED):
            self.hungry = True

    def _feed(self, lane: Lane) -> None:
        now_s = time.monotonic()
        if self.stopped or not lane.ready or now_s < lane.sick_until_s:
            return
        if self._committer.backlog_bytes > BACKLOG_LIMIT_BYTES:
            return
        holding = len(self._queue.holders[lane.name].holding)
        target = self._target(lane, now_s)
        # Topping up item by item would cost a message each; a quarter of the target is in time.
        if target - holding >= max(1, target // 4):
            wanted = self._bucket.allowed(target - holding)
            self._lease(lane, self._queue.lease(lane.name, wanted, now_s), now_s)

    def _target(self, lane: Lane, now_s: float) -> int:
        if self.canary is not None:
            return self.canary.target(lane.name)
        pending = self._queue.items.number(State.PENDING)
        left = pending if self._queue.complete else max(pending, 1 << 20)
        target = lane.pace.target(now_s, left=left, nodes=len(self._lanes))
        return min(target, self._leases.at_most(lane.pace.slots))

    def _lease(self, lane: Lane, grants: list[Grant], now_s: float) -> None:
        if not grants:
            return
        self._bucket.take(len(grants))
        deadline_s = self._limit.in_force_s(self.successes)
        if self._limit.percent and not deadline_s:
            lane.unlimited.update((grant.index, now_s) for grant in grants)

        def unsendable(result: pb.ItemResult) -> None:
            self._settle(lane, Returned(lane.stream, result))

        for message in self._leases.write(grants, deadline_s, self._committer.leased, unsendable):
            lane.stream.send(message)

    def _speculate(self) -> None:
        """Give idle nodes second copies of what others have had for long, once nothing else is left."""
        queue = self._queue
        if not self._speculates or self.stopped or not queue.complete or not self.successes.count:
            return
        if queue.items.number(State.PENDING) or not queue.items.number(State.LEASED):
            return
        now_s = time.monotonic()
        older_s = max(STRAGGLER_LEAST_S, STRAGGLER_FACTOR * self.successes.median_s())
        for lane in self._lanes.values():
            idle = lane.pace.slots - len(queue.holders[lane.name].holding)
            if idle > 0 and lane.ready:
                self._lease(lane, queue.speculate(lane.name, idle, older_s, now_s), now_s)

    def _end_overdue(self) -> None:
        """End items that were leased before a percentage of the median meant anything."""
        limit_s = self._limit.in_force_s(self.successes) if self._limit.percent else 0.0
        if not limit_s:
            return
        now_s = time.monotonic()
        for lane in self._lanes.values():
            over = [index for index, since_s in lane.unlimited.items() if now_s - since_s > limit_s]
            if over and lane.stream.connected:
                lane.overdue.update(over)
                lane.stream.send(cancel(over))
                for index in over:
                    del lane.unlimited[index]


def cancel(indexes: collections.abc.Iterable[int]) -> pb.WorkRequest:
    """Call off the items with these indexes, running or not."""
    return pb.WorkRequest(cancel=pb.WorkRequest.Cancel(indexes=indexes))
