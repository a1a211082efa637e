"""The lock that an engine holds on a stack, and leaves behind when it is killed: whose it is, and its end."""

import collections.abc
import contextlib
import dataclasses
import os
import pathlib
import re
import socket
import subprocess
import sys
import typing

from components.engine_program import program
from components.errors import GaxxError
from tasks.inventory import Stack


class Confirm(typing.Protocol):
    """Asks the user; `certain`: the holder of the lock is known to be gone."""

    def __call__(self, question: str, *, certain: bool) -> bool:
        """Return whether to go on."""


_LOCKED = re.compile(rb"the stack is currently locked by")
_HOLDER = re.compile(r"created by (?P<user>[^@\s]+)@(?P<host>\S+) \(pid (?P<pid>\d+)\)")


@dataclasses.dataclass(frozen=True, slots=True)
class Lock:
    """Who holds a stack's lock, as Pulumi says it."""

    user: str
    host: str
    pid: int

    @property
    def state(self) -> str:
        """Alive or dead when it is a process of this machine, else unknown."""
        if self.host != socket.gethostname():
            return "unknown"
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return "dead"
        except PermissionError:
            return "alive"
        return "dead" if _is_zombie(self.pid) else "alive"

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}"


def _is_zombie(pid: int) -> bool:
    # Dead, and nobody has asked how it ended: a killed engine whose parent is gone, too, may stay so for a while.
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return False


def is_locked(said: bytes) -> bool:
    """Whether Pulumi's words say that somebody else holds the lock."""
    return bool(_LOCKED.search(said))


def holders(said: bytes) -> tuple[Lock, ...]:
    """Read from Pulumi's words who holds it."""
    text = said.decode(errors="replace")
    return tuple(Lock(found["user"], found["host"], int(found["pid"])) for found in _HOLDER.finditer(text))


def cancel(stack: Stack, holding: collections.abc.Sequence[Lock], confirm: Confirm) -> bool:
    """Cancel the update of holders that are gone, when `confirm` agrees; True.

    Raise GaxxError when it does not, when they live, and when Pulumi fails.
    """
    states = {lock.state for lock in holding} or {"unknown"}
    who = " and ".join(map(str, holding)) or "somebody"
    if "alive" in states:
        message = f"stack {stack.name} is locked by {who}, which is running"
        raise GaxxError(message, hint="wait until it is done")
    certain = states == {"dead"}
    where = "which is gone" if certain else "which cannot be seen from here"
    question = f"stack {stack.name} is locked by {who}, {where}. Cancel that update (pulumi cancel)?"
    if not confirm(question, certain=certain):
        message = f"stack {stack.name} is locked by {who}, {where}"
        raise GaxxError(message, hint=f"`pulumi cancel --stack {stack.name}` when nobody works on it, or `--yes`")
    line = [program(), "cancel", "--yes", "--stack", stack.name]
    done = subprocess.run(line, cwd=stack.root, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        message = f"pulumi cancel failed with exit code {done.returncode}"
        raise GaxxError(message)
    return True
