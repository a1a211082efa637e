"""What the node does and since when it does nothing: for Info, for metrics, for draining and idleness."""

import asyncio
import contextlib
import time
from collections.abc import Iterator


class Activity:
    """Counts sessions (Exec) and items (Work). `queued_items` is kept by whoever owns the queue."""

    def __init__(self) -> None:
        self.started_s = time.monotonic()
        self.sessions = 0
        self.running_items = 0
        self.queued_items = 0
        self.items_done = 0
        self.draining = False
        self._last_end_s = time.monotonic()
        self._quiet = asyncio.Event()
        self._quiet.set()

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """Count one Exec (or another use by a person) while it lasts."""
        self.sessions += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self.sessions -= 1
            self._ended()

    def items_began(self, count: int = 1) -> None:
        """Items were given to the runner."""
        self.running_items += count
        self._quiet.clear()

    def items_ended(self, count: int = 1) -> None:
        """Items came back from it, however they ended."""
        self.running_items -= count
        self.items_done += count
        self._ended()

    @property
    def idle_s(self) -> float:
        """Seconds since the last item or session ended; 0 while there is one."""
        return 0.0 if self.why_not_idle else time.monotonic() - self._last_end_s

    @property
    def uptime_s(self) -> float:
        """Seconds since the agent started."""
        return time.monotonic() - self.started_s

    @property
    def why_not_idle(self) -> str:
        """What goes on, for a person; empty when nothing does."""
        parts = []
        if self.sessions:
            parts.append(f"{self.sessions} command{'s' if self.sessions > 1 else ''} running")
        if self.running_items:
            parts.append(f"{self.running_items} item{'s' if self.running_items > 1 else ''} running")
        if self.queued_items:
            parts.append(f"{self.queued_items} queued")
        return ", ".join(parts)

    async def wait_quiet(self) -> None:
        """Wait until neither a session nor an item is left."""
        await self._quiet.wait()

    def _ended(self) -> None:
        self._last_end_s = time.monotonic()
        if not self.sessions and not self.running_items:
            self._quiet.set()
