"""One epoll loop: file descriptors, timers, and children that ended.

Written by hand because an asyncio child costs several times the fork itself: this loop spends about
0.1 ms of its own on an item.
"""

import heapq
import itertools
import os
import resource
import select
import signal
import time
from collections.abc import Callable

READ = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
WRITE = select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP

Watcher = Callable[[], None]
Reaper = Callable[[int, int, resource.struct_rusage], None]


class Timer:
    """A call in the future that can be called off."""

    __slots__ = ("action",)

    def __init__(self, action: Watcher) -> None:
        self.action: Watcher | None = action

    def cancel(self) -> None:
        """Call it off; harmless when it has fired."""
        self.action = None


class Loop:
    """Runs watchers of descriptors, timers, the reaper, and once a turn the `turn_ended` calls."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watchers: dict[int, Watcher] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._stopped = False
        self.reaper: Reaper | None = None
        self.turn_ended: list[Watcher] = []
        self.on_signal: dict[int, Watcher] = {}
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.watch(self._wake_read, READ, self._woken)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _nothing)

    def handle_signal(self, number: int, action: Watcher) -> None:
        """Run `action` inside the loop when the signal arrives."""
        self.on_signal[number] = action
        signal.signal(number, _nothing)

    def watch(self, fd: int, events: int, watcher: Watcher) -> None:
        """Call `watcher` whenever one of `events` holds for the descriptor."""
        self._watchers[fd] = watcher
        self._epoll.register(fd, events)

    def unwatch(self, fd: int) -> None:
        """Forget a watched descriptor; call it before closing."""
        if self._watchers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def after(self, delay_s: float, action: Watcher) -> Timer:
        """Call `action` once, `delay_s` from now."""
        timer = Timer(action)
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._order), timer))
        return timer

    def stop(self) -> None:
        """End `run` after this turn."""
        self._stopped = True

    def run(self) -> None:
        """Turn until `stop`."""
        while not self._stopped:
            for fd, _ in self._epoll.poll(self._patience_s()):
                # A watcher that ran earlier in this turn may have closed it.
                watcher = self._watchers.get(fd)
                if watcher is not None:
                    watcher()
            self._fire_timers()
            for action in self.turn_ended:
                action()

    def _patience_s(self) -> float:
        while self._timers and self._timers[0][2].action is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return -1
        return max(0.0, self._timers[0][0] - time.monotonic())

    def _fire_timers(self) -> None:
        if not self._timers:
            return
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.action is not None:
                action, timer.action = timer.action, None
                action()

    def _woken(self) -> None:
        try:
            arrived = set(os.read(self._wake_read, 65536))
        except BlockingIOError:
            return
        for number in arrived:
            if number in self.on_signal:
                self.on_signal[number]()
        self._reap()

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self.reaper is not None:
                self.reaper(pid, status, usage)


def _nothing(_number: int, _frame: object) -> None:
    """Make Python write the signal to the wake-up pipe, and no more."""
