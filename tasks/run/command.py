"""A command for many nodes, what is told while it runs, and how it is stopped; the same for agents and SSH."""

import collections.abc
import contextlib
import datetime as dt
import os
import typing

from tasks.fanout import DEFAULT_FANOUT
from tasks.outcome import Outcome
from tasks.run.stdin import Spool

OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024
"""Kept of each stream of each node, unless told otherwise."""
CONNECT_TIMEOUT_S = 15.0
"""From the first packet to the started process; a machine that is gone does not even refuse."""


def new_run_id() -> str:
    """A name for a run that sorts by time and does not collide: 20260131-235959-1f3a."""
    return f"{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}-{os.urandom(2).hex()}"


class Command(typing.NamedTuple):
    """What to execute, and within which bounds."""

    argv: tuple[bytes, ...]
    env: collections.abc.Mapping[str, bytes]
    run_id: str
    timeout_s: float = 0.0
    """0: none."""
    fanout: int = DEFAULT_FANOUT
    output_limit_bytes: int = OUTPUT_LIMIT_BYTES
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    stdin: Spool | None = None


class Report(typing.NamedTuple):
    """The answer of every node, in the order asked."""

    run_id: str
    outcomes: tuple[Outcome, ...]
    interrupted: bool
    wall_s: float


class Listener(typing.Protocol):
    """Told of what happens while it happens."""

    def output(self, node: str, data: bytes, *, is_stderr: bool) -> bool:
        """Take a piece of output; True: it need not be kept for the outcome."""

    def finished(self, outcome: Outcome) -> None:
        """Take a node's last word."""

    def note(self, text: str) -> None:
        """Take a line for the person who waits."""

    def interrupted(self, count: int) -> None:
        """Take note that the user wants to stop, for the `count`th time."""


Via = typing.Literal["agent", "ssh"]


class Stoppable(typing.Protocol):
    """One call on one node."""

    def stop(self, *, now: bool) -> None:
        """End the command gently, or at once."""


class Interrupt:
    """The user's wish to stop: the first asks the commands to end, the second ends the calls."""

    def __init__(self) -> None:
        self.count = 0
        self._calls: set[Stoppable] = set()

    def request(self) -> None:
        """Stop gently; at once when asked again."""
        self.count += 1
        for call in tuple(self._calls):
            call.stop(now=self.count > 1)

    @contextlib.contextmanager
    def watching(self, call: Stoppable) -> collections.abc.Iterator[None]:
        """Pass interrupts on to `call` for the length of the block."""
        self._calls.add(call)
        try:
            yield
        finally:
            self._calls.discard(call)
