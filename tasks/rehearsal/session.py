"""`gaxx rehearse`: the rehearsal cloud in the foreground, and how to reach it."""

import asyncio
import collections.abc
import shlex
import signal
import threading
import typing
from collections.abc import Callable

from components import backend
from tasks.rehearsal import machines, stack
from tasks.rehearsal.faults import Faults
from tasks.rehearsal.service import Rehearsal, Speed, serving

Say = Callable[[str], None]


async def hold(
    started: Callable[[Rehearsal], None], *, port: int, speed: Speed, faults: Faults, report: Say
) -> dict[str, int]:
    """Serve until SIGINT or SIGTERM; return what was left of each kind, which is gone now. Raise GaxxError."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await asyncio.to_thread(machines.sweep)
    async with serving(port=port, speed=speed, faults=faults, report=report) as rehearsal:
        started(rehearsal)
        await ended.wait()
        return rehearsal.store.left()


async def rehearse(
    name: str, command: collections.abc.Sequence[str], *, port: int, speed: Speed, faults: Faults, report: Say
) -> None:
    """Rehearse the stack called `name` from preview to destroy. Raise GaxxError."""
    root = backend.project_root()
    ended = threading.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # What runs in the foreground gets a Ctrl-C too; then nothing is begun but the destroy.
        loop.add_signal_handler(number, ended.set)
    await asyncio.to_thread(machines.sweep)
    async with serving(port=port, speed=speed, faults=faults, report=report) as rehearsal:
        await asyncio.to_thread(stack.rehearse, rehearsal, root, name, command, ended=ended, say=report)


def exports(variables: typing.Mapping[str, str]) -> str:
    """Lines for a shell's `eval`."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
