"""The node's audit trail as the rest of the agent sees it: things are noted, a thread writes them.

access, service, files, work ─► Trail.note ─► a list ─► (every FLUSH_S) one thread ─► files ─► disk
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from agent.audit.files import Files
from agent.audit.lines import Entry, ItemEnd, ItemsEnded, ItemsStarted, Kind, Record
from agent.audit.snapshot import Snapshot
from agent.errors import AgentError
from agent.proto import agent_pb2 as pb

_log = logging.getLogger("gaxx.agent")

FLUSH_S = 0.2
"""A line waits so long for company, and until the call that it is about has its answer: what a `kill -9` can cost."""

T = TypeVar("T")


class Trail:
    """Takes what happens, in the event loop's thread; never waits for the disk there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = Files(folder)
        self._waiting: list[Entry] = []
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # One thread: lines have an order, and the files one user.
        self._thread: ThreadPoolExecutor | None = None
        self._fault = ""

    async def open(self, *, node: str, machine: str) -> None:
        """Begin to write. Raises AgentError: an agent that cannot keep its trail does not serve."""
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        try:
            await self._in_thread(lambda: self._files.open(node=node, machine=machine))
        except BlockingIOError as fault:
            message = f"the audit trail {self.folder} is written by another agent"
            raise AgentError(message) from fault
        except OSError as fault:
            message = f"the audit trail {self.folder} cannot be written: {fault.strerror}"
            raise AgentError(message) from fault
        self._arm(0)

    def note(self, kind: Kind, **fields: object) -> None:
        """Note one line."""
        self._add(Record(time.time(), kind, fields))

    def items_started(self, run: str, principal: str, items: Sequence[pb.Item]) -> None:
        """Note a line for each item that is on its way to the runner."""
        self._add(ItemsStarted(time.time(), run, principal, items))

    def items_ended(self, run: str, items: Sequence[ItemEnd]) -> None:
        """Note a line for each item that has ended."""
        self._add(ItemsEnded(time.time(), run, items))

    async def snapshot(self, sequence: int) -> Snapshot:
        """Return the trail from a line on, all that was noted so far included. Raises OSError; close it."""
        self._hand_over()
        taken = asyncio.ensure_future(self._in_thread(lambda: self._files.snapshot(sequence)))
        try:
            return await asyncio.shield(taken)
        except asyncio.CancelledError:
            # Whoever asked has gone: the files that were opened for him must not stay open.
            taken.add_done_callback(_close)
            raise

    async def close(self) -> None:
        """Write what was noted, and let go of the files."""
        if self._thread is None:
            return
        self._hand_over()
        await self._in_thread(self._files.close)
        if self._timer is not None:
            self._timer.cancel()
        self._thread.shutdown()
        self._thread = None

    def _add(self, entry: Entry) -> None:
        self._waiting.append(entry)
        self._arm(FLUSH_S)

    def _arm(self, within_s: float) -> None:
        if self._loop is None or self._thread is None:
            return
        if self._timer is not None:
            if self._timer.when() <= self._loop.time() + within_s:
                return
            self._timer.cancel()
        self._timer = self._loop.call_later(within_s, self._hand_over)

    def _hand_over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._loop is None or self._thread is None:
            return
        entries, self._waiting = self._waiting, []
        self._loop.run_in_executor(self._thread, self._write, entries).add_done_callback(self._written)

    def _write(self, entries: list[Entry]) -> float | None:
        """Write, in the thread; return in how many seconds a later turn has something to do."""
        self._files.append(entries)
        return self._files.sync_when_due()

    def _written(self, future: "asyncio.Future[float | None]") -> None:
        if future.cancelled():
            return
        if future.exception() is not None:
            _log.error("audit trail", exc_info=future.exception(), extra={"event": "audit"})
            return
        if self._files.fault != self._fault:
            self._fault = self._files.fault
            said = f"lines wait: {self._fault}" if self._fault else "lines are written again"
            _log.error("audit trail: %s", said, extra={"event": "audit"})
        again_s = future.result()
        if again_s is not None:
            # Once more, so that the last lines come to the disk and those that wait are tried again.
            self._arm(again_s)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        if self._thread is None:
            message = "the audit trail is closed"
            raise OSError(message)
        return await loop.run_in_executor(self._thread, work)


def _close(taken: "asyncio.Future[Snapshot]") -> None:
    if not taken.cancelled() and taken.exception() is None:
        taken.result().close()
