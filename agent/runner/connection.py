"""One agent at the other end of the socket: its frames, its queue, its slots, its items."""

import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable

from google.protobuf.message import DecodeError

from agent.proto.agent_pb2 import CANCELLED
from agent.proto.runner_pb2 import (
    Began,
    Finished,
    FinishedBatch,
    Kill,
    Output,
    Ready,
    RunnerEvent,
    RunnerRequest,
    Spawn,
    Taken,
)
from agent.runner.frames import Decoder, FrameError, encode
from agent.runner.item import Item
from agent.runner.loop import READ, WRITE, Loop
from agent.runner.spawning import Spawner
from agent.runner.table import Table

# While the agent has not taken so much, nothing more is started or read for it.
OUTBOX_LIMIT_BYTES = 16 * 1024 * 1024
# An item that lives longer than this gets its pipes watched; a shorter one is read once, when it has ended.
WATCH_AFTER_S = 0.002
# Results of short items travel together: so many, or those of so long.
COMPANY = 64
COMPANY_WITHIN_S = 0.005
# What a streamed process says so soon stands for the news that it began, which a short command need not pay for.
AT_ONCE_S = 0.01


class Connection:
    """Executes what its agent asks. When the agent goes, what is not detached is killed."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        spawner: Spawner,
        *,
        table: Table,
        slots: int,
        adopt: Callable[[Item], None],
        closed: Callable[["Connection"], None],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._spawner = spawner
        self._table = table
        self._slots = slots
        self._adopt = adopt
        self._closed = closed
        self._decoder = Decoder()
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._writing = False
        self._items: dict[int, Item] = {}
        self._queue: deque[Spawn] = deque()
        self._called_off: dict[int, Kill] = {}
        self._busy = 0
        self._finished: list[Finished] = []
        self._fresh: deque[tuple[float, Item]] = deque()
        self._fresh_timer_set = False
        self._company_timer_set = False
        self._is_late = False
        self.is_open = True
        self.by_pid: dict[int, Item] = {}
        sock.setblocking(False)
        loop.watch(sock.fileno(), READ, self._readable)
        self._send(RunnerEvent(ready=Ready(slots=slots)))
        self._flush()

    def _readable(self) -> None:
        try:
            data = self._sock.recv(1024 * 1024)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        try:
            for payload in self._decoder.feed(data):
                self._obey(RunnerRequest.FromString(payload))
        except (FrameError, DecodeError):
            self.close()
            return
        self._start_queued()

    def _obey(self, request: RunnerRequest) -> None:
        kind = request.WhichOneof("request")
        if kind == "spawn":
            if request.spawn.collect:
                self._queue.append(request.spawn)
            else:
                self._start(request.spawn)
        elif kind == "batch":
            self._slots = request.batch.slots or self._slots
            self._queue.extend(request.batch.spawns)
        elif kind == "kill":
            self._kill(request.kill)
        elif request.WhichOneof("request") == "input":
            item = self._items.get(request.input.id)
            if item is not None:
                item.write(request.input.data, eof=request.input.eof)
        elif kind == "credit":
            item = self._items.get(request.credit.id)
            if item is not None:
                item.credit(request.credit.bytes)

    def _kill(self, kill: Kill) -> None:
        item = self._items.get(kill.id)
        if item is None:
            if kill.queued_too:
                self._called_off[kill.id] = kill
        elif kill.signal:
            item.signal(kill.signal)
        else:
            item.kill(kill.ending or CANCELLED)

    def _start_queued(self) -> None:
        if self._called_off:
            self._call_off()
        while self._queue and self._busy < self._slots and self._outbox_bytes < OUTBOX_LIMIT_BYTES and self.is_open:
            self._busy += 1
            self._start(self._queue.popleft())

    def _call_off(self) -> None:
        kept: deque[Spawn] = deque()
        for spawn in self._queue:
            kill = self._called_off.get(spawn.id)
            if kill is None:
                kept.append(spawn)
            else:
                finished = Finished(id=spawn.id)
                finished.exit.ending = kill.ending or CANCELLED
                self._finished.append(finished)
        self._queue = kept
        self._called_off.clear()

    def _start(self, spawn: Spawn) -> None:
        item = Item(self._loop, spawn, emit=self._emit, taken=self._taken, done=self._done)
        self._items[item.id] = item
        item.start(self._spawner)
        if not item.pid:
            return
        self.by_pid[item.pid] = item
        self._table.add(item.pid, detached=item.detached)
        if spawn.collect:
            self._fresh.append((time.monotonic() + WATCH_AFTER_S, item))
            if not self._fresh_timer_set:
                self._fresh_timer_set = True
                self._loop.after(WATCH_AFTER_S, self._watch_fresh)
        elif spawn.says_began:
            self._say_began(item)
        else:
            item.silent = self._loop.after(AT_ONCE_S, lambda: self._say_began(item))

    def _say_began(self, item: Item) -> None:
        self._send(RunnerEvent(began=Began(id=item.id, pid=item.pid)))

    def _watch_fresh(self) -> None:
        self._fresh_timer_set = False
        now = time.monotonic()
        while self._fresh and self._fresh[0][0] <= now:
            self._fresh.popleft()[1].watch()
        if self._fresh:
            self._fresh_timer_set = True
            self._loop.after(self._fresh[0][0] - now, self._watch_fresh)

    def _emit(self, item: Item, is_stderr: bool, data: bytes) -> None:  # noqa: FBT001 - the wire's own flag
        item.speaks()
        self._send(RunnerEvent(output=Output(id=item.id, is_stderr=is_stderr, data=data)))

    def _taken(self, item: Item, count: int) -> None:
        self._send(RunnerEvent(taken=Taken(id=item.id, bytes=count)))

    def _done(self, item: Item) -> None:
        self._items.pop(item.id, None)
        self.by_pid.pop(item.pid, None)
        self._table.remove(item.pid)
        if not self.is_open:
            return
        if item.spawn.collect:
            self._busy -= 1
            self._finished.append(item.finished)
        else:
            item.speaks()
            item.finished.exit.pid = item.pid
            self._send(RunnerEvent(finished=item.finished))

    def turn_ended(self) -> None:
        """Fill free slots, then send what this turn of the loop brought, as one frame if it can be."""
        if not self.is_open:
            return
        if self._queue or self._called_off:
            self._start_queued()
        if self._finished:
            self._report()
        if self._outbox and not self._writing:
            self._flush()

    def _report(self) -> None:
        """Send what has finished: at once when nothing waits for a slot, otherwise in company.

        Each frame wakes the agent, which on a small node costs as much as an item.
        """
        if self._queue and len(self._finished) < COMPANY and not self._is_late:
            if not self._company_timer_set:
                self._company_timer_set = True
                self._loop.after(COMPANY_WITHIN_S, self._late)
            return
        self._is_late = False
        self._send(RunnerEvent(finished_batch=FinishedBatch(finished=self._finished)))
        self._finished = []

    def _late(self) -> None:
        self._company_timer_set = False
        self._is_late = bool(self._finished)

    def _send(self, event: RunnerEvent) -> None:
        if self.is_open:
            data = encode(event)
            self._outbox.append(data)
            self._outbox_bytes += len(data)

    def _flush(self) -> None:
        while self._outbox:
            try:
                sent = self._sock.sendmsg([self._outbox[at] for at in range(min(64, len(self._outbox)))])
            except BlockingIOError:
                if not self._writing:
                    self._writing = True
                    self._loop.unwatch(self._sock.fileno())
                    self._loop.watch(self._sock.fileno(), READ | WRITE, self._ready_both)
                return
            except OSError:
                self.close()
                return
            self._outbox_bytes -= sent
            while sent:
                first = self._outbox.popleft()
                if len(first) > sent:
                    self._outbox.appendleft(first[sent:])
                    break
                sent -= len(first)
        if self._writing:
            self._writing = False
            self._loop.unwatch(self._sock.fileno())
            self._loop.watch(self._sock.fileno(), READ, self._readable)

    def _ready_both(self) -> None:
        self._flush()
        if self.is_open:
            self._readable()

    def close(self) -> None:
        """The agent is gone: kill what is not detached, give the rest away."""
        if not self.is_open:
            return
        self.is_open = False
        self._loop.unwatch(self._sock.fileno())
        with contextlib.suppress(OSError):
            self._sock.close()
        self._queue.clear()
        self._outbox.clear()
        for item in list(self._items.values()):
            item.orphan()
            self._adopt(item)
            if not item.detached:
                item.kill()
        self._closed(self)
