"""What became of one command on one node: every selected node has exactly one Outcome at the end."""

import collections.abc
import enum
import signal
import typing


class Ending(enum.StrEnum):
    """How it ended; the first six are the node's word, the others the controller's."""

    EXITED = "exited"
    SIGNALED = "signaled"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    SPAWN_FAILED = "spawn-failed"
    RUNNER_LOST = "runner-lost"
    UNREACHABLE = "unreachable"
    """Never started: nobody answered."""
    LOST = "lost"
    """Started, then the connection broke: nobody knows how far it came."""
    REFUSED = "refused"
    """Never started: the node or we did not prove an identity."""
    ERROR = "error"
    """A fault of ours."""


NEVER_STARTED = frozenset({Ending.UNREACHABLE, Ending.REFUSED})
NODE_GONE = frozenset({Ending.UNREACHABLE, Ending.LOST, Ending.RUNNER_LOST})


# Named tuples, here and wherever `gaxx run` starts: a dataclass takes half a millisecond to make; there were eleven.
class Outcome(typing.NamedTuple):
    """The answer of one node. True when the command exited 0."""

    node: str
    ending: Ending
    exit_code: int | None = None
    signal: int | None = None
    error: str = ""
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_cut: bool = False
    stderr_cut: bool = False
    wall_s: float = 0.0
    started: bool = True

    def __bool__(self) -> bool:
        return self.ending is Ending.EXITED and self.exit_code == 0

    @property
    def word(self) -> str:
        """The ending in a word or two: ok, exit 7, killed by SIGKILL, unreachable."""
        match self.ending:
            case Ending.EXITED:
                return "ok" if self.exit_code == 0 else f"exit {self.exit_code}"
            case Ending.SIGNALED:
                return f"killed by {signal_name(self.signal or 0)}"
            case Ending.DEADLINE:
                return "timed out"
            case Ending.CANCELLED:
                return "cancelled" if self.started else "cancelled before it started"
            case Ending.SPAWN_FAILED:
                return "could not be started"
            case _:
                return self.ending.value

    @property
    def describes(self) -> str:
        """The ending with its reason: unreachable: connection refused."""
        return f"{self.word}: {self.error}" if self.error else self.word


def signal_name(number: int) -> str:
    """SIGKILL for 9; "signal 77" for what has no name here."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def exit_code(outcomes: collections.abc.Iterable[Outcome], *, interrupted: bool) -> int:
    """The one exit code of a command on many nodes: 130 cancelled, 2 refused, 5 nodes gone, 3 failed, 0 all well."""
    endings = list(outcomes)
    if interrupted:
        return 130
    if any(outcome.ending is Ending.ERROR for outcome in endings):
        return 1
    if any(outcome.ending is Ending.REFUSED for outcome in endings):
        return 2
    # Nobody here cancelled it: then it was the node, which drains or lost its runner.
    if any(outcome.ending in NODE_GONE or outcome.ending is Ending.CANCELLED for outcome in endings):
        return 5
    return 0 if all(endings) else 3
