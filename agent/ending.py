"""The end of a task that nobody needs any longer."""

import asyncio
import contextlib
from typing import Any


async def end(task: "asyncio.Task[Any] | None") -> None:
    """Cancel a task and wait until it is over; what else it failed with is raised. Nothing happens without one."""
    if task is None:
        return
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
