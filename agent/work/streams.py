"""The Work call: one long stream a controller and run, leases in, results out, nothing forgotten unacknowledged."""

import asyncio
import contextlib
import logging
import re
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import grpc.aio

from agent.access.rules import current_principal
from agent.audit import lines as audit_lines
from agent.ending import end
from agent.node import Node
from agent.proto import agent_pb2 as pb
from agent.service import Context, WorkHandler
from agent.work.held import count_held
from agent.work.leased import LeasedRun

_log = logging.getLogger("gaxx.work")

LINGER_S = 0.05
"""Results wait so long for company while there is more to do here: a message an item would cost more than the item."""
BEATS_A_LEASE = 4
SYNC_EVERY_S = 0.5
FORGET_AFTER_S = 7 * 24 * 3600.0
"""Results that no controller has asked for in so long are dropped when the agent starts."""
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Work:
    """Handles the Work calls of one agent; `handle` is what the service hands on to."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._runs: dict[str, LeasedRun] = {}
        self._folder = node.config.work_dir / ".held"
        self._called_off = False
        self._syncer: asyncio.Task[None] | None = None
        self._forget_old()
        self._left = self._left_behind()
        self._count()

    async def handle(
        self, request_iterator: AsyncIterator[pb.WorkRequest], context: Context
    ) -> AsyncGenerator[pb.WorkEvent, None]:
        """Serve one stream; see the proto."""
        requests = aiter(request_iterator)
        first = await anext(requests, None)
        if first is None or first.WhichOneof("request") != "hello":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the first request of Work must be hello")
        assert first is not None  # noqa: S101 - abort raises
        hello = first.hello
        if not _RUN_ID.fullmatch(hello.run_id):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{hello.run_id[:80]!r} is no name for a run")
        try:
            run = self._open(hello)
        except OSError as fault:
            where = f"{fault.filename}: " if fault.filename else ""
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"no room for the run: {where}{fault.strerror}")
            raise
        generation = run.attach()
        sent = {"files": [audit_lines.text(file.path) for file in hello.files]} if hello.files else {}
        self._note("attach", run, **sent)
        replies: asyncio.Queue[pb.WorkEvent] = asyncio.Queue()
        reader = asyncio.create_task(self._obey(requests, run, generation, replies))
        reader.add_done_callback(lambda _: run.wake.set())
        try:
            with self._node.activity.stream():
                async for event in self._serve(run, generation, replies, reader):
                    yield event
        finally:
            await end(reader)
            self._retire(run)
            self._count()

    async def _serve(
        self,
        run: LeasedRun,
        generation: int,
        replies: asyncio.Queue[pb.WorkEvent],
        reader: asyncio.Task[None],
    ) -> AsyncGenerator[pb.WorkEvent, None]:
        node = self._node
        yield pb.WorkEvent(
            welcome=pb.WorkEvent.Welcome(
                slots=node.runner.slots,
                agent_build=node.config.build,
                held_results=len(run.outbox),
                running=run.in_flight,
            )
        )
        beat_s = max(run.lease_s / BEATS_A_LEASE, 0.1)
        # The first beat follows what was held: by then the controller knows all that became of its leases.
        next_beat_s = time.monotonic()
        while run.generation == generation and not reader.done():
            run.wake.clear()
            while not replies.empty():
                yield replies.get_nowait()
            results = run.outbox.take()
            if results:
                yield pb.WorkEvent(results=pb.WorkEvent.Results(results=results))
                continue
            now_s = time.monotonic()
            if now_s >= next_beat_s:
                next_beat_s = now_s + beat_s
                yield self._beat(run)
                continue
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(run.wake.wait(), next_beat_s - now_s)
            if run.busy and replies.empty():
                await asyncio.sleep(LINGER_S)
        if run.generation == generation and not reader.cancelled() and reader.exception() is not None:
            raise reader.exception() or RuntimeError

    async def _obey(
        self,
        requests: AsyncIterator[pb.WorkRequest],
        run: LeasedRun,
        generation: int,
        replies: asyncio.Queue[pb.WorkEvent],
    ) -> None:
        async for request in requests:
            if run.generation != generation:
                return
            match request.WhichOneof("request"):
                case "lease":
                    run.lease(request.lease.items, request.lease.deadline_s)
                case "ack":
                    run.outbox.acknowledge(request.ack.result_ids)
                case "cancel":
                    self._note("cancel", run)
                    run.cancel(request.cancel)
                case "fetch":
                    replies.put_nowait(await asyncio.to_thread(run.outbox.fetch, request.fetch))
                    run.wake.set()
                case "beat":
                    replies.put_nowait(self._beat(run))
                    run.wake.set()
                case "bye":
                    self._note("end", run)
                    self._runs.pop(run.run_id, None)
                    run.bye()
                    return
            self._count()

    def _note(self, event: str, run: LeasedRun, **fields: object) -> None:
        principal = current_principal.get().name
        self._node.audit.note("run", event=event, run=run.run_id, principal=principal, **fields)

    def _beat(self, run: LeasedRun) -> pb.WorkEvent:
        running = run.in_flight
        queued = max(len(running) - self._node.runner.slots, 0)
        draining = self._node.activity.draining
        return pb.WorkEvent(beat=pb.WorkEvent.Beat(running=running, queued=queued, draining=draining))

    def _open(self, hello: pb.WorkRequest.Hello) -> LeasedRun:
        run = self._runs.get(hello.run_id)
        if run is None:
            folder = self._folder / hello.run_id
            run = self._runs[hello.run_id] = LeasedRun(self._node, current_principal.get().name, hello, folder)
            self._left.pop(hello.run_id, None)
        else:
            run.configure(hello)
        if self._syncer is None:
            self._syncer = asyncio.create_task(self._sync())
        return run

    def _retire(self, run: LeasedRun) -> None:
        """Keep in memory only runs for which something is left to do or to tell."""
        if self._runs.get(run.run_id) is run and not run.count and not run.outbox:
            del self._runs[run.run_id]
            run.close()

    def _count(self) -> None:
        waiting = sum(run.count for run in self._runs.values())
        self._node.activity.queued_items = max(waiting - self._node.runner.slots, 0)
        held = sum(len(run.outbox) for run in self._runs.values())
        self._node.activity.held_results = held + sum(self._left.values())

    def _left_behind(self) -> dict[str, int]:
        """How many results an earlier agent kept, by run: their controllers may still come."""
        counts = {}
        for folder in self._folder.glob("*/results"):
            try:
                counts[folder.parent.name] = count_held(folder)
            except (OSError, ValueError) as fault:
                _log.warning("%s: results of an earlier agent cannot be read: %s", folder, fault)
        return counts

    async def _sync(self) -> None:
        while True:
            await asyncio.sleep(SYNC_EVERY_S)
            self._count()
            for run in list(self._runs.values()):
                if self._node.activity.draining and not self._called_off:
                    # What has not started goes back to the controller, for another node.
                    run.cancel(pb.WorkRequest.Cancel())
                try:
                    await asyncio.to_thread(run.outbox.sync)
                except OSError as fault:
                    _log.warning("results are not on disk: %s", fault.strerror, extra={"event": "sync"})
            self._called_off = self._node.activity.draining

    def _forget_old(self) -> None:
        """Drop what no controller has come back for: results, and what was sent for runs or waits to be fetched."""
        work = self._node.config.work_dir
        for pattern in (".held/*", "*/runs/*", "*/.outputs/*"):
            for folder in work.glob(pattern):
                if _age_s(folder) > FORGET_AFTER_S:
                    shutil.rmtree(folder, ignore_errors=True)


def _age_s(folder: Path) -> float:
    newest = max((path.lstat().st_mtime for path in (folder, *folder.rglob("*"))), default=0.0)
    return time.time() - newest


def make_handler(node: Node) -> WorkHandler:
    """Return what serves the Work calls of an agent."""
    return Work(node).handle
