"""The run on a terminal: a bar, and a lane a node that shows who is slow. Rich is loaded only here."""

import collections.abc
import contextlib
import sys
import threading
import time
import typing

from tasks import words
from tasks.work.watch import PlainWatcher, progress

if typing.TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live

    from tasks.work.lane import Lane
    from tasks.work.mapper import Mapper

BAR_WIDTH = 30
LANES_SHOWN = 16
PAINT_S = 0.2


class LaneWatcher(PlainWatcher):
    """Repaints a few lines at the foot of the terminal; what is printed scrolls above them."""

    def __init__(self) -> None:
        super().__init__()
        self._live: Live | None = None
        self._painted_s = 0.0
        # Items' outputs are printed from a thread.
        self._lock = threading.RLock()

    def begin(self, mapper: "Mapper") -> None:
        """Take the foot of the terminal."""
        super().begin(mapper)
        from rich.console import Console
        from rich.live import Live

        console = Console(file=sys.stderr)
        # Our own ticks paint: a thread of Rich's would write between the bytes of an item's output.
        self._live = Live(_Picture(mapper), console=console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._live.start()

    def tick(self) -> None:
        """Repaint."""
        if self._live is None or time.monotonic() - self._painted_s <= PAINT_S:
            return
        # A large output may be being printed just now: then there is nothing to paint below.
        if self._lock.acquire(blocking=False):
            self._painted_s = time.monotonic()
            self._live.refresh()
            self._lock.release()

    def end(self) -> None:
        """Give the foot of the terminal back."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None

    @contextlib.contextmanager
    def aside(self) -> collections.abc.Iterator[None]:
        """Wipe the lines, and paint them again below what was printed meanwhile."""
        with self._lock:
            if self._live is None:
                yield
                return
            self._live.stop()
            try:
                yield
            finally:
                self._live.start(refresh=True)

    def _line(self, text: str) -> None:
        with self._lock:
            if self._live is not None:
                self._live.console.print(f"gaxx: {text}", markup=False, highlight=False)
            else:
                super()._line(text)


class _Picture:
    """What is painted, made anew each time: the terminal may have been resized."""

    def __init__(self, mapper: "Mapper") -> None:
        self._mapper = mapper

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.text import Text

        for line in picture(self._mapper, options.max_width):
            yield Text(line, no_wrap=True, overflow="ellipsis")


def picture(mapper: "Mapper", width: int) -> list[str]:
    """Draw bar and lanes as lines of at most `width` characters."""
    now = progress(mapper)
    total = now["total"]
    share = now["done"] / total if total else 0.0
    full = int(share * BAR_WIDTH)
    bar = "█" * full + "░" * (BAR_WIDTH - full)
    eta = f" · {words.duration(now['eta_s'])} left" if now["eta_s"] else ""
    of = f"{now['done']}/{total}" if total is not None else f"{now['done']} of an input that goes on"
    lines = [f"{bar} {of} · {now['failed']} failed · {now['leased']} leased · {now['items_per_s']:.1f}/s{eta}"]
    lanes = sorted(mapper.lanes.values(), key=lambda lane: lane.pace.rate(time.monotonic()))
    name_width = max((len(lane.stream.name) for lane in lanes), default=0)
    fastest = max((lane.pace.rate(time.monotonic()) for lane in lanes), default=0.0) or 1.0
    shown = lanes[:LANES_SHOWN]
    lines += [_lane(mapper, lane, name_width, fastest) for lane in shown]
    if len(lanes) > len(shown):
        lines.append(f"… and {len(lanes) - len(shown)} faster nodes")
    return [line[:width] for line in lines]


def _lane(mapper: "Mapper", lane: "Lane", name_width: int, fastest: float) -> str:
    holder = mapper.queue.holders[lane.stream.name]
    rate = lane.pace.rate(time.monotonic())
    bar = "▇" * max(1 if rate else 0, round(10 * rate / fastest))
    state = ""
    if lane.stream.refused:
        state = "refused"
    elif not lane.stream.connected:
        state = lane.stream.reason or "connecting"
    elif holder.cordoned:
        state = "cordoned"
    elif holder.draining:
        state = "draining"
    failed = f" {lane.failed} failed" if lane.failed else ""
    answered = f"{lane.ok:>7} ok{failed} {len(holder.holding)} leased"
    return f"{lane.stream.name:<{name_width}} {bar:<10} {rate:7.1f}/s {answered} {state}".rstrip()
