"""The controller's loop of a run: nodes come and go, leases out, results in, limits watched, until nothing is left.

Everything here happens in one event loop; what takes long (fsync, printing) happens in threads of `commit`.
"""

import asyncio
import collections.abc
import contextlib
import dataclasses
import os
import time
import typing

from agent.proto import agent_pb2 as pb
from components.inventory import Node
from tasks.work.commit import KINDS, Committer, Returned, fetch
from tasks.work.durations import Durations
from tasks.work.halting import HaltPolicy
from tasks.work.items import READ_LIMIT_BYTES, Spool
from tasks.work.node_stream import NodeStream
from tasks.work.options import MapOptions
from tasks.work.pace import Pace
from tasks.work.queue import Effect, Grant, LeaseQueue, State, Verdict
from tasks.work.results import ResultStore, ReturnedFileError

TICK_S = 0.25
BACKLOG_LIMIT_BYTES = 64 * 1024 * 1024
"""Of results that wait to be written or shown: above it nothing more is leased."""
STRAGGLER_FACTOR = 2.0
STRAGGLER_LEAST_S = 1.0
STOP_LIMIT_S = 20.0
"""How long called-off items may take to come back."""
READER_GONE_S = 2.0
"""Who closed the pipe expects us to go quickly."""
SICK_S = (1.0, 2.0, 5.0, 10.0, 20.0)
"""A node that gives items back without having started them gets nothing for so long."""
SENT_LIMIT_BYTES = 32 * 1024 * 1024
"""Of a file that travels with an item."""
SENT_AHEAD_BYTES = 16 * 1024 * 1024
"""Of such files at one node."""
ATTEMPT_LIMIT_BYTES = 2 * READ_LIMIT_BYTES


class Told(typing.Protocol):
    """Where the run tells what a person should know."""

    def note(self, text: str) -> None:
        """Say one thing that happened."""


@dataclasses.dataclass(slots=True)
class Lane:
    """What the run knows of one node, beside what the queue knows."""

    stream: NodeStream
    pace: Pace
    ok: int = 0
    failed: int = 0
    reconcile: bool = False
    """The first beat after a welcome tells which leases are gone."""
    fetching: set[int] = dataclasses.field(default_factory=set)
    unlimited: dict[int, float] = dataclasses.field(default_factory=dict)
    """Items leased before a time limit was known, and when."""
    overdue: set[int] = dataclasses.field(default_factory=set)
    sick_until_s: float = 0.0
    sick_times: int = 0


@dataclasses.dataclass(slots=True)
class Stop:
    """Why and how a run ends before its items do."""

    reason: str
    now: bool
    interrupted: bool
    since_s: float


class Mapper:
    """Drives one run to its end."""

    def __init__(
        self,
        options: MapOptions,
        spool: Spool,
        queue: LeaseQueue,
        store: ResultStore,
        committer: Committer,
        told: Told,
        *,
        run_id: str,
        session: int,
    ) -> None:
        self.run_id = run_id
        self.options = options
        self.queue = queue
        self.lanes: dict[str, Lane] = {}
        self.successes = Durations()
        self.stop: Stop | None = None
        self.started_s = time.monotonic()
        self.expected_total = 0
        self._spool = spool
        self._store = store
        self._committer = committer
        self._told = told
        self._template = options.template
        self._limit = options.time_limit
        self._halt = HaltPolicy.parse(options.halt)
        self._lease_id = session << 32
        self._fetches: set[asyncio.Task[None]] = set()
        self._streams: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._hungry = False
        self._last_tick_s = time.monotonic()
        self._alone_since_s = time.monotonic()
        self._tokens = 0.0
        self._has_files = bool(options.returns or options.sends)
        self._sent_bytes = self._sent_items = 0
        self._canary = _Canary(options.canary) if options.canary else None

    # Nodes

    def add(self, stream: NodeStream) -> None:
        """Begin to use a node."""
        self.lanes[stream.name] = Lane(stream, Pace(stream.node.slots))
        self.queue.join(stream.name, time.monotonic())
        self._streams[stream.name] = asyncio.create_task(stream.run())

    def renew(self, node: Node) -> None:
        """The inventory has changed: another machine may have taken the node's place, keys may be others."""
        lane = self.lanes[node.name]
        if lane.stream.node.machine_id != node.machine_id:
            self._told.note(f"{node.name} is another machine now")
            self.queue.lost(node.name)
            lane.stream.reconnect(node)
        lane.stream.node = node
        if lane.stream.refused:
            lane.stream.refused = False
            self.queue.holders[node.name].draining = False
            self._streams[node.name] = asyncio.create_task(lane.stream.run())

    def drain(self, name: str) -> None:
        """Give a node nothing more: it leaves the fleet."""
        if self.queue.holders[name].draining:
            return
        self._told.note(f"{name} leaves the fleet: it gets nothing more")
        self.queue.holders[name].draining = True
        self.lanes[name].stream.send(pb.WorkRequest(cancel=pb.WorkRequest.Cancel()))

    def connected(self, stream: NodeStream, welcome: pb.WorkEvent.Welcome) -> None:
        """A node is there: what still runs on it is leased to it; what it no longer has is known at its first beat."""
        lane = self.lanes[stream.name]
        lane.pace.slots = self.options.slots or welcome.slots or 1
        lane.reconcile = True
        now_s = time.monotonic()
        self.queue.join(stream.name, now_s)
        surplus = self.queue.adopt(stream.name, welcome.running, now_s)
        if surplus:
            stream.send(_cancel(surplus))
        if self.stop is not None:
            self._call_off(stream)
        self._changed.set()

    def disconnected(self, stream: NodeStream, reason: str) -> None:
        """The stream broke: the leases stand until they expire, for the node may go on."""
        self.lanes[stream.name].reconcile = False
        if self._canary is not None and self._canary.node == stream.name:
            self._canary.node = ""
        self._told.note(f"{stream.name}: {reason}; trying again")
        self._changed.set()

    def refused(self, stream: NodeStream, reason: str) -> None:
        """The node will not have us: it is left out."""
        self._told.note(f"{stream.name}: refused: {reason}")
        self.queue.release(stream.name)
        self.queue.holders[stream.name].draining = True
        self._feed_all()

    def beat(self, stream: NodeStream, beat: pb.WorkEvent.Beat) -> None:
        """A sign of life, and at times news of what the node has not got."""
        lane = self.lanes[stream.name]
        holder = self.queue.join(stream.name, time.monotonic())
        if beat.draining and not holder.draining:
            self._told.note(f"{stream.name} is draining: it gets nothing more")
        holder.draining = holder.draining or beat.draining
        if lane.reconcile:
            lane.reconcile = False
            keep = lane.fetching.union(beat.running)
            gone = self.queue.lost(stream.name, keep=keep)
            if gone:
                self._told.note(f"{stream.name} lost {len(gone)} leased items: they go back into the queue")
                self._give_up()
        self._feed_all() if self._hungry else self._feed(lane)

    def results(self, stream: NodeStream, results: collections.abc.Sequence[pb.ItemResult]) -> None:
        """Items came back."""
        now_s = time.monotonic()
        lane = self.lanes[stream.name]
        self.queue.join(stream.name, now_s)
        lane.pace.answered(len(results), now_s)
        for result in results:
            if result.output_held or result.files:
                if result.index not in lane.fetching:
                    lane.fetching.add(result.index)
                    self._fetch(lane, result)
            else:
                self._settle(lane, Returned(stream, result))
        if stream.name in self.queue.holders:
            self._judge(stream.name)
        self._feed_all() if self._hungry else self._feed(lane)
        self._changed.set()

    # The loop

    async def run(self, more: collections.abc.Callable[[], None]) -> None:
        """Go on until every item has its answer or the run is stopped; `more` is called at every tick.

        Raise JournalError when writing fails.
        """
        writing = asyncio.create_task(self._committer.run())
        writing.add_done_callback(lambda _: self._changed.set())
        try:
            while not self._over():
                more()
                self._tick()
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), TICK_S)
                if writing.done():
                    writing.result()
            idle = asyncio.create_task(self._committer.idle())
            await asyncio.wait({idle, writing}, return_when=asyncio.FIRST_COMPLETED)
            idle.cancel()
            if writing.done():
                writing.result()
        finally:
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await writing

    async def close(self, *, bye: bool) -> None:
        """End all streams; with `bye` the nodes forget the run, where nothing of it is left."""
        for task in self._fetches:
            task.cancel()
        for lane in self.lanes.values():
            await lane.stream.close(bye=bye)
        if self._streams:
            _, late = await asyncio.wait(self._streams.values(), timeout=2)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._streams.values(), return_exceptions=True)

    def grown(self) -> None:
        """More of the input is there."""
        self.queue.grow(self._spool.count - self.queue.count)
        self.queue.complete = self._spool.complete
        self._feed_all()
        self._changed.set()

    def halt(self, reason: str, *, now: bool, interrupted: bool = False) -> None:
        """Lease nothing more; call off what has not started, `now` also what runs."""
        if self.stop is not None and (self.stop.now or not now):
            return
        interrupted = interrupted or (self.stop is not None and self.stop.interrupted)
        self.stop = Stop(reason, now, interrupted, time.monotonic())
        for lane in self.lanes.values():
            self._call_off(lane.stream)
        self._changed.set()

    def _call_off(self, stream: NodeStream) -> None:
        now = self.stop is not None and self.stop.now
        stream.send(pb.WorkRequest(cancel=pb.WorkRequest.Cancel(all=now)))

    def _over(self) -> bool:
        if self._fetches:
            return False
        if self.queue.finished:
            return True
        if self.stop is None:
            return self._deserted()
        held = any(
            self.queue.holders[name].holding for name, lane in self.lanes.items() if lane.stream.connected
        )
        limit_s = STOP_LIMIT_S if self.stop.now else float("inf")
        if self._committer.reader_gone:
            limit_s = READER_GONE_S
        return not held or time.monotonic() - self.stop.since_s > limit_s

    def _deserted(self) -> bool:
        """Whether nobody is left to do anything, for longer than a lease."""
        now_s = time.monotonic()
        alive = any(
            lane.stream.connected and (self.queue.holders[name].takes_work or self.queue.holders[name].holding)
            for name, lane in self.lanes.items()
        )
        if alive:
            self._alone_since_s = now_s
        hopeless = all(lane.stream.refused for lane in self.lanes.values())
        return not alive and (hopeless or now_s - self._alone_since_s > self.options.lease_s)

    def _tick(self) -> None:
        now_s = time.monotonic()
        since_s = now_s - self._last_tick_s
        if since_s < TICK_S:
            return
        stalled_s = since_s - 2 * TICK_S
        self._last_tick_s = now_s
        if stalled_s > 0:
            # We were stopped or slow, not the nodes: what they said meanwhile has not been read yet.
            for holder in self.queue.holders.values():
                holder.heard_s += stalled_s
        for name, indexes in self.queue.expire(now_s).items():
            self._told.note(f"{name} has been silent for {self.options.lease_s:g} s: {len(indexes)} items go back")
            self._hungry = True
        self._give_up()
        self._cancel_overdue(now_s)
        if self._committer.reader_gone:
            self.halt("nobody reads the output any more", now=True)
        if self.options.rate:
            self._tokens = min(self._tokens + self.options.rate * since_s, max(self.options.rate, 1.0))
        self._feed_all()
        self._speculate(now_s)

    # Leasing

    def _feed_all(self) -> None:
        self._hungry = False
        for lane in self.lanes.values():
            self._feed(lane)

    def _feed(self, lane: Lane) -> None:
        if self.stop is not None or not lane.stream.connected or lane.reconcile:
            return
        now_s = time.monotonic()
        if self._committer.backlog_bytes > BACKLOG_LIMIT_BYTES or now_s < lane.sick_until_s:
            return
        holding = len(self.queue.holders[lane.stream.name].holding)
        target = self._target(lane, now_s)
        # Topping up item by item would cost a message each; a quarter of the target is in time.
        if target - holding < max(1, target // 4):
            return
        self._lease(lane, self.queue.lease(lane.stream.name, target - holding, now_s), now_s)

    def _target(self, lane: Lane, now_s: float) -> int:
        pending = self.queue.number(State.PENDING)
        if self._canary is not None:
            return self._canary.target(lane.stream.name)
        left = pending if self.queue.complete else max(pending, 1 << 20)
        target = lane.pace.target(now_s, left=left, nodes=len(self.lanes))
        if self._sent_items:
            target = min(target, max(lane.pace.slots, SENT_AHEAD_BYTES * self._sent_items // self._sent_bytes))
        if self.options.rate:
            holding = len(self.queue.holders[lane.stream.name].holding)
            target = min(target, holding + int(self._tokens))
        return target

    def _lease(self, lane: Lane, grants: list[Grant], now_s: float) -> None:
        if not grants:
            return
        self._tokens -= len(grants)
        deadline_s = self._limit.in_force_s(self.successes)
        if self._limit.percent and not deadline_s:
            lane.unlimited.update((grant.index, now_s) for grant in grants)
        self._lease_id += 1
        items: list[pb.Item] = []
        size = 0
        for grant, value in self._values(grants):
            self._committer.leased(grant.index, value)
            argv = self._template.command(value, grant.index)
            item = pb.Item(index=grant.index, attempt=grant.attempt, lease=self._lease_id, argv=argv, value=value)
            size += 2 * len(value) + 64
            if self._has_files:
                try:
                    size += self._add_files(item, value)
                except (OSError, ReturnedFileError) as error:
                    self._fail_here(lane, item, str(error))
                    continue
            items.append(item)
            if size > ATTEMPT_LIMIT_BYTES:
                lane.stream.send(_leased(items, deadline_s))
                items, size = [], 0
        if items:
            lane.stream.send(_leased(items, deadline_s))

    def _add_files(self, item: pb.Item, value: bytes) -> int:
        """Add what travels with the item and what is to come back; return how many bytes that is. Raise OSError."""
        item.return_globs.extend(self.options.own_returns(value, item.index))
        size = 0
        for path in self.options.own_sends(value, item.index):
            self._store.target(item.index, path)
            with open(path, "rb") as file:  # noqa: PTH123 - bytes
                data = file.read(SENT_LIMIT_BYTES + 1)
                mode = os.fstat(file.fileno()).st_mode & 0o777
            if len(data) > SENT_LIMIT_BYTES:
                message = f"{os.fsdecode(path)} is longer than {SENT_LIMIT_BYTES >> 20} MiB: `gaxx put` it to the nodes"
                raise ReturnedFileError(message)
            item.files.append(pb.SentFile(path=path, data=data, mode=mode))
            size += len(data)
        if size:
            self._sent_bytes += size
            self._sent_items += 1
        return size

    def _fail_here(self, lane: Lane, item: pb.Item, error: str) -> None:
        """Settle an item that cannot even be sent."""
        exit_ = pb.Exit(ending=pb.SPAWN_FAILED, error=error)
        now_s = time.time()
        result = pb.ItemResult(
            index=item.index, attempt=item.attempt, lease=item.lease, exit=exit_, start_unix_s=now_s, end_unix_s=now_s
        )
        self._settle(lane, Returned(lane.stream, result))

    def _values(self, grants: list[Grant]) -> collections.abc.Iterator[tuple[Grant, bytes]]:
        """Read the items' bytes, neighbours together."""
        position = 0
        while position < len(grants):
            first = grants[position].index
            end = position + 1
            while end < len(grants) and grants[end].index == first + end - position:
                end += 1
            while position < end:
                for value in self._spool.read(grants[position].index, end - position):
                    yield grants[position], value
                    position += 1

    def _speculate(self, now_s: float) -> None:
        if not self.options.speculate or self.stop is not None or self.queue.number(State.PENDING):
            return
        if not self.queue.complete or not self.queue.number(State.LEASED) or not self.successes.count:
            return
        older_s = max(STRAGGLER_LEAST_S, STRAGGLER_FACTOR * self.successes.median_s())
        for lane in self.lanes.values():
            idle = lane.pace.slots - len(self.queue.holders[lane.stream.name].holding)
            if idle > 0 and lane.stream.connected and not lane.reconcile:
                self._lease(lane, self.queue.speculate(lane.stream.name, idle, older_s, now_s), now_s)

    def _cancel_overdue(self, now_s: float) -> None:
        """End items that were leased before a percentage of the median meant anything."""
        limit_s = self._limit.in_force_s(self.successes) if self._limit.percent else 0.0
        if not limit_s:
            return
        for lane in self.lanes.values():
            over = [index for index, since_s in lane.unlimited.items() if now_s - since_s > limit_s]
            for index in over:
                del lane.unlimited[index]
            if over and lane.stream.connected:
                lane.overdue.update(over)
                lane.stream.send(_cancel(over))

    # Results

    def _fetch(self, lane: Lane, result: pb.ItemResult) -> None:
        async def bring() -> None:
            # When the node goes away meanwhile, it still holds the result and says so when it is back.
            try:
                with contextlib.suppress(ConnectionError):
                    returned = await fetch(lane.stream, result, self._store, self.options.output_limit_bytes)
                    self._settle(lane, returned)
            finally:
                lane.fetching.discard(result.index)
                self._changed.set()
            self._feed_all() if self._hungry else self._feed(lane)

        task = asyncio.create_task(bring())
        self._fetches.add(task)
        task.add_done_callback(self._fetches.discard)

    def _settle(self, lane: Lane, returned: Returned) -> None:
        result = returned.result
        verdict = self._judge_result(lane, returned)
        lane.unlimited.pop(result.index, None)
        settled = self.queue.settle(lane.stream.name, result.index, verdict)
        returned.effect = settled.effect
        self._committer.add(returned)
        for name in settled.cancel_at:
            self.lanes[name].stream.send(_cancel([result.index]))
        if settled.effect in (Effect.RETRY, Effect.REQUEUED):
            self._hungry = True
        if settled.effect is Effect.OK:
            lane.ok += 1
            lane.sick_times = 0
            self.successes.add(result.exit.wall_s)
        elif verdict is Verdict.FAILED:
            lane.failed += 1
        if self._canary is not None:
            self._canary_answered(settled.effect)
        self._watch_halt()

    def _judge_result(self, lane: Lane, returned: Returned) -> Verdict:
        exit_ = returned.result.exit
        returned.kind = KINDS.get(exit_.ending, "lost")
        missing = returned.error or "; ".join(returned.result.file_errors)
        returned.error = exit_.error
        match exit_.ending:
            case pb.EXITED if exit_.exit_code == 0:
                if missing:
                    returned.kind, returned.error = "bad-files", missing
                    return Verdict.FAILED
                return Verdict.OK
            case pb.CANCELLED:
                if returned.result.index in lane.overdue:
                    lane.overdue.discard(returned.result.index)
                    returned.kind = "timeout"
                    return Verdict.FAILED
                if exit_.error and self.stop is None:
                    self._sicken(lane, exit_.error)
                return Verdict.CANCELLED
            case pb.RUNNER_LOST | pb.ENDING_UNSPECIFIED:
                self._sicken(lane, exit_.error)
                return Verdict.LOST
            case _:
                return Verdict.FAILED

    def _sicken(self, lane: Lane, why: str) -> None:
        """Leave a node alone for a while that cannot execute anything just now."""
        now_s = time.monotonic()
        if now_s < lane.sick_until_s:
            return
        lane.sick_until_s = now_s + SICK_S[min(lane.sick_times, len(SICK_S) - 1)]
        lane.sick_times += 1
        self._told.note(f"{lane.stream.name}: {why}; its items go back")

    def _judge(self, name: str) -> None:
        cordoned = self.queue.suspect(name)
        if cordoned is None:
            return
        self._committer.event("cordon", node=name, reopened=cordoned.reopened)
        self.lanes[name].stream.send(pb.WorkRequest(cancel=pb.WorkRequest.Cancel()))
        self._told.note(
            f"{name} is cordoned: most items fail there and succeed elsewhere; {len(cordoned.reopened)} are tried again"
        )
        self._hungry = True

    def _give_up(self) -> None:
        given_up = self.queue.give_up()
        for index in given_up:
            self._committer.event("given-up", index=index)
            self._told.note(f"item {index + 1} is given up: too many nodes were lost under it")

    def _watch_halt(self) -> None:
        bad = self.queue.number(State.FAILED) + self.queue.number(State.QUARANTINED)
        total = self.queue.count if self.queue.complete else 0
        if self._halt.when != "never" and self._halt.reached(ok=self.queue.number(State.OK), bad=bad, total=total):
            self.halt(f"halted: {self._halt}", now=self._halt.when == "now")

    def _canary_answered(self, effect: Effect) -> None:
        canary = self._canary
        if canary is None:
            return
        if effect in (Effect.FAILED, Effect.QUARANTINED):
            self.halt(f"halted: one of the first {self.options.canary} items (--canary) failed", now=False)
        canary.passed += effect is Effect.OK
        known = self.queue.count if self.queue.complete else self.options.canary
        if canary.passed >= min(self.options.canary, known):
            self._canary = None
            self._told.note(f"the canary's {canary.passed} items passed: going on with all nodes")
            self._hungry = True


@dataclasses.dataclass(slots=True)
class _Canary:
    """The first items go to one node; the others wait for them."""

    count: int
    node: str = ""
    passed: int = 0

    def target(self, node: str) -> int:
        self.node = self.node or node
        return self.count - self.passed if node == self.node else 0


def _leased(items: list[pb.Item], deadline_s: float) -> pb.WorkRequest:
    return pb.WorkRequest(lease=pb.WorkRequest.Lease(items=items, deadline_s=deadline_s))


def _cancel(indexes: collections.abc.Iterable[int]) -> pb.WorkRequest:
    return pb.WorkRequest(cancel=pb.WorkRequest.Cancel(indexes=indexes))
