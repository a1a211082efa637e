"""The rehearsal's service inside of a test's own process."""

import asyncio
import contextlib
import threading
import typing
from collections.abc import Iterator

from tasks.rehearsal.service import Rehearsal, serving


@contextlib.contextmanager
def served(**options: typing.Any) -> Iterator[Rehearsal]:
    """Serve from a thread with a loop of its own, for clients that block."""
    started: list[Rehearsal] = []
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        async with serving(report=lambda text: None, **options) as rehearsal:  # noqa: ARG005 - nobody reads it
            started.append(rehearsal)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(20), "the service starts"
        yield started[0]
    finally:
        done.set()
        thread.join()
