"""What the node does and since when it does nothing: for Info, for metrics, for draining and idleness."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator


class Activity:
    """Counts sessions (Exec), streams and items (Work). `queued_items` and `held_results` are kept by their owner."""

    def __init__(self) -> None:
        self.started_s = time.monotonic()
        self.sessions = 0
        self.streams = 0
        self.running_items = 0
        self.queued_items = 0
        self.held_results = 0
        self.began = asyncio.Event()
        """Set whenever something begins; whoever waits for it clears it."""
        self.others: list[Callable[[], str]] = []
        """Asked for what else goes on, that nobody counts; "" for nothing."""
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
        self.began.set()
        try:
            yield
        finally:
            self.sessions -= 1
            self._ended()

    @contextlib.contextmanager
    def stream(self) -> Iterator[None]:
        """Count one controller's stream of a run while it lasts, whether or not it has items here."""
        self.streams += 1
        self.began.set()
        try:
            yield
        finally:
            self.streams -= 1
            self._ended()

    def items_began(self, count: int = 1) -> None:
        """Items were given to the runner."""
        self.running_items += count
        self._quiet.clear()
        self.began.set()

    def items_ended(self, count: int = 1) -> None:
        """Items came back from it, however they ended."""
        self.running_items -= count
        self.items_done += count
        self._ended()

    def look(self) -> None:
        """Take notice of what goes on without having been counted: idleness begins when it is seen no more."""
        if self.why_not_idle:
            self._last_end_s = time.monotonic()

    def resume(self, idle_s: float) -> None:
        """Have been idle for so many seconds already."""
        self._last_end_s = time.monotonic() - idle_s

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
        if self.streams and not parts:
            parts.append(f"{self.streams} run{'s' if self.streams > 1 else ''} attached")
        if self.held_results:
            parts.append(f"{self.held_results} result{'s' if self.held_results > 1 else ''} not acknowledged")
        parts += filter(None, (other() for other in self.others))
        return ", ".join(parts)

    async def wait_quiet(self) -> None:
        """Wait until neither a session nor an item is left."""
        await self._quiet.wait()

    def _ended(self) -> None:
        self._last_end_s = time.monotonic()
        if not self.sessions and not self.running_items:
            self._quiet.set()
