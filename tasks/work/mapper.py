"""The controller's loop of a run: nodes come and go, leases out, results in, limits watched, until nothing is left.

Everything here happens in one event loop; what takes long (fsync, printing) happens in threads of `commit`.
"""

import asyncio
import collections.abc
import contextlib
import time

from agent.proto import agent_pb2 as pb
from components.inventory import Node
from tasks.work.commit import Committer, Returned
from tasks.work.ending import Ending, Limit
from tasks.work.failures import Failures, how_of
from tasks.work.feeder import Feeder, cancel
from tasks.work.fetching import Fetches
from tasks.work.items import Spool
from tasks.work.judging import judge
from tasks.work.lane import Lane
from tasks.work.leases import LeaseWriter
from tasks.work.node_stream import NodeStream
from tasks.work.options import MapOptions
from tasks.work.pace import Pace
from tasks.work.queue import LeaseQueue
from tasks.work.results import ResultStore
from tasks.work.states import Effect, Verdict
from tasks.work.throttle import Canary
from tasks.work.watch import Told

TICK_S = 0.25


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
        self.failures = Failures()
        self.started_s = time.monotonic()
        self.ending = Ending(options, queue, self.lanes, committer)
        self._spool = spool
        self._committer = committer
        self._told = told
        leases = LeaseWriter(options, spool, store, session=session)
        self._feeder = Feeder(options, queue, self.lanes, committer, leases, self._settle)
        self._leaving: set[str] = set()
        self._fetches = Fetches(store, options.output_limit_bytes, self._settle, self._fetched)
        self._streams: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._last_tick_s = time.monotonic()

    # Nodes come and go

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
        if node.name in self._leaving:
            self._leaving.remove(node.name)
            self.queue.holders[node.name].draining = False
        if lane.stream.refused:
            lane.stream.refused = False
            self.queue.holders[node.name].draining = False
            self._streams[node.name] = asyncio.create_task(lane.stream.run())

    def drain(self, name: str) -> None:
        """Give a node nothing more: it leaves the fleet."""
        if name in self._leaving:
            return
        self._told.note(f"{name} leaves the fleet: it gets nothing more")
        self._leaving.add(name)
        self.queue.holders[name].draining = True
        self.lanes[name].stream.send(pb.WorkRequest(cancel=pb.WorkRequest.Cancel()))

    def connected(self, stream: NodeStream, welcome: pb.WorkEvent.Welcome) -> None:
        """A node is there: what still runs on it is leased to it; what it no longer has is known at its first beat."""
        lane = self.lanes[stream.name]
        lane.pace.slots = self.options.slots or welcome.slots or 1
        lane.reconcile = True
        now_s = time.monotonic()
        # An agent that drained to start anew, for an update in place, takes work again.
        self.queue.join(stream.name, now_s).draining = stream.name in self._leaving
        surplus = self.queue.adopt(stream.name, welcome.running, now_s)
        if surplus:
            stream.send(cancel(surplus))
        if self.ending.stop is not None:
            self._call_off(stream)
        self._changed.set()

    def disconnected(self, stream: NodeStream, reason: str) -> None:
        """The stream broke: the leases stand until they expire, for the node may go on."""
        self.lanes[stream.name].reconcile = False
        if self._feeder.canary is not None:
            self._feeder.canary.lost(stream.name)
        self._told.note(f"{stream.name}: {reason}; trying again")
        self._changed.set()

    def refused(self, stream: NodeStream, reason: str) -> None:
        """The node will not have us: it is left out."""
        self._told.note(f"{stream.name}: refused: {reason}")
        self.queue.release(stream.name)
        self.queue.holders[stream.name].draining = True
        self._feeder.feed_all()
        self._changed.set()

    def beat(self, stream: NodeStream, beat: pb.WorkEvent.Beat) -> None:
        """A sign of life, and at times news of what the node has not got."""
        lane = self.lanes[stream.name]
        holder = self.queue.join(stream.name, time.monotonic())
        if beat.draining and not holder.draining:
            self._told.note(f"{stream.name} is draining: it gets nothing more")
        holder.draining = holder.draining or beat.draining
        if lane.reconcile:
            lane.reconcile = False
            gone = self.queue.lost(stream.name, keep=lane.fetching.union(beat.running))
            if gone:
                self._told.note(f"{stream.name} lost {len(gone)} leased items: they go back into the queue")
                self._feeder.hungry = True
                self._give_up()
        self._feeder.feed(lane)

    def results(self, stream: NodeStream, results: collections.abc.Sequence[pb.ItemResult]) -> None:
        """Items came back."""
        now_s = time.monotonic()
        lane = self.lanes[stream.name]
        self.queue.join(stream.name, now_s)
        lane.pace.answered(len(results), now_s)
        for result in results:
            if not (result.output_held or result.files):
                self._settle(lane, Returned(stream, result))
            elif result.index not in lane.fetching:
                self._fetches.begin(lane, result)
        self._suspect(stream.name)
        self._feeder.feed(lane)
        self._changed.set()

    # The loop

    async def run(self, more: collections.abc.Callable[[], None]) -> None:
        """Go on until every item has its answer or the run is stopped; `more` is called at every turn.

        Raise JournalError when writing fails.
        """
        writing = asyncio.create_task(self._committer.run())
        writing.add_done_callback(lambda _: self._changed.set())
        try:
            while True:
                # First: it may know why nodes that refuse us may not do so in a moment.
                more()
                if not self._fetches and self.ending.is_over():
                    break
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
            # What it failed with has been raised above.
            await asyncio.gather(writing, return_exceptions=True)

    async def close(self, *, bye: bool) -> None:
        """End all streams; with `bye` the nodes forget the run, where nothing of it is left."""
        self._fetches.cancel()
        for lane in self.lanes.values():
            await lane.stream.close(bye=bye)
        if self._streams:
            _, late = await asyncio.wait(self._streams.values(), timeout=2)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._streams.values(), return_exceptions=True)

    def grown(self) -> None:
        """More of the input is there."""
        self.queue.items.grow(self._spool.count - self.queue.count)
        self.queue.complete = self._spool.complete
        self._feeder.feed_all()
        self._changed.set()

    def halt(self, reason: str, *, now: bool, interrupted: bool = False) -> None:
        """Lease nothing more; call off what has not started, `now` also what runs."""
        if not self.ending.halt(reason, now=now, interrupted=interrupted):
            return
        self._feeder.stopped = True
        for lane in self.lanes.values():
            self._call_off(lane.stream)
        self._changed.set()

    def _call_off(self, stream: NodeStream) -> None:
        now = self.ending.stop is not None and self.ending.stop.now
        stream.send(pb.WorkRequest(cancel=pb.WorkRequest.Cancel(all=now)))

    def _tick(self) -> None:
        now_s = time.monotonic()
        since_s = now_s - self._last_tick_s
        if since_s < TICK_S:
            return
        self._last_tick_s = now_s
        if since_s > 2 * TICK_S:
            # We were stopped or slow, not the nodes: what they said meanwhile has not been read yet.
            for holder in self.queue.holders.values():
                holder.heard_s += since_s
        for name, indexes in self.queue.expire(now_s).items():
            self._told.note(f"{name} has been silent for {self.options.lease_s:g} s: {len(indexes)} items go back")
        self._give_up()
        self._obey(self.ending.halted_by_time())
        self._feeder.tick(since_s)

    # Results in

    def _fetched(self, lane: Lane) -> None:
        self._changed.set()
        self._feeder.feed(lane)

    def _settle(self, lane: Lane, returned: Returned) -> None:
        result = returned.result
        lane.unlimited.pop(result.index, None)
        judgement = judge(result, files_error=returned.files_error, overdue=result.index in lane.overdue)
        lane.overdue.discard(result.index)
        returned.kind, returned.error = judgement.kind, judgement.error
        if judgement.node_is_sick and self.ending.stop is None and lane.sicken(time.monotonic()):
            self._told.note(f"{lane.name}: {judgement.error}; its items go back")
        settled = self.queue.settle(lane.name, result.index, judgement.verdict)
        returned.effect = settled.effect
        self._committer.add(returned)
        for name in settled.cancel_at:
            self.lanes[name].stream.send(cancel([result.index]))
        self._feeder.answered(settled.effect, result.exit.wall_s)
        if settled.effect is Effect.OK:
            lane.ok += 1
            lane.sick_times = 0
        elif judgement.verdict is Verdict.FAILED:
            lane.failed += 1
        if settled.effect in (Effect.FAILED, Effect.QUARANTINED):
            how = how_of(judgement.kind, result.exit.exit_code, result.exit.signal)
            self.failures.add(result.index, lane.name, how, judgement.error)
        if self._feeder.canary is not None:
            self._watch_canary(self._feeder.canary, settled.effect)
        self._obey(self.ending.halted_by_answers())

    def _obey(self, limit: Limit | None) -> None:
        if limit is not None:
            self.halt(limit.reason, now=limit.now)

    def _watch_canary(self, canary: Canary, effect: Effect) -> None:
        canary.passed += effect is Effect.OK
        if effect in (Effect.FAILED, Effect.QUARANTINED):
            self.halt(f"halted: one of the first {canary.count} items (--canary) failed", now=False)
        elif canary.is_over(self.queue.count if self.queue.complete else canary.count):
            self._feeder.canary = None
            self._told.note(f"the canary's {canary.passed} items passed: going on with all nodes")
            self._feeder.hungry = True

    def _suspect(self, name: str) -> None:
        cordoned = self.queue.suspect(name)
        if cordoned is None:
            return
        self.failures.forgive(name)
        self._committer.event("cordon", node=name, reopened=cordoned.reopened)
        self.lanes[name].stream.send(pb.WorkRequest(cancel=pb.WorkRequest.Cancel()))
        self._told.note(
            f"{name} is cordoned: most items fail there and succeed elsewhere; {len(cordoned.reopened)} are tried again"
        )
        self._feeder.hungry = True

    def _give_up(self) -> None:
        for index in self.queue.give_up():
            self._committer.event("given-up", index=index)
            self._told.note(f"item {index + 1} is given up: too many nodes were lost under it")
