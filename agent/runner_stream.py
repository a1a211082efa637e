"""One streamed process as the agent sees it: its events, its stdin, its credit."""

import asyncio
from collections.abc import AsyncIterator, Callable

from agent.proto.agent_pb2 import CANCELLED, Ending
from agent.proto.runner_pb2 import Began, Credit, Finished, Input, Kill, Output, RunnerRequest

STDIN_WINDOW_BYTES = 1024 * 1024
"""How much of a stream's stdin may be on the way to the process."""


class Stream:
    """One streamed process: iterate its events (Began, Output, Finished last), feed and signal it."""

    def __init__(self, send: Callable[[RunnerRequest], None], ident: int) -> None:
        self._send = send
        self._id = ident
        self._events: asyncio.Queue[Began | Output | Finished] = asyncio.Queue()
        self._stdin_room = asyncio.Event()
        self._stdin_room.set()
        self._stdin_on_way = 0
        self._is_abandoned = False
        self.is_finished = False

    def __aiter__(self) -> AsyncIterator[Began | Output | Finished]:
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[Began | Output | Finished]:
        while True:
            event = await self._events.get()
            yield event
            if isinstance(event, Finished):
                return
            if isinstance(event, Output):
                # Whoever iterates comes back when the event is on its way: only then may more come.
                self._send(RunnerRequest(credit=Credit(id=self._id, bytes=len(event.data))))

    async def write(self, data: bytes) -> None:
        """Pass stdin on; waits while the process does not read."""
        while self._stdin_on_way >= STDIN_WINDOW_BYTES and not self.is_finished:
            self._stdin_room.clear()
            await self._stdin_room.wait()
        if not self.is_finished:
            self._stdin_on_way += len(data)
            self._send(RunnerRequest(input=Input(id=self._id, data=data)))

    def write_eof(self) -> None:
        """End stdin."""
        self._send(RunnerRequest(input=Input(id=self._id, eof=True)))

    def signal(self, number: int) -> None:
        """Send a signal to the process group."""
        self._send(RunnerRequest(kill=Kill(id=self._id, signal=number)))

    def kill(self, ending: Ending = CANCELLED) -> None:
        """TERM, then KILL after the runner's grace."""
        self._send(RunnerRequest(kill=Kill(id=self._id, ending=ending, queued_too=True)))

    def abandon(self, *, kills: bool) -> None:
        """Stop listening: later output is dropped, the process is killed or, when detached, goes on."""
        self._is_abandoned = True
        while not self._events.empty():
            self.deliver(self._events.get_nowait())
        if kills:
            self.kill()

    def deliver(self, event: Began | Output | Finished) -> None:
        """Take an event from the connection."""
        if isinstance(event, Finished):
            self.is_finished = True
            self._stdin_room.set()
        if not self._is_abandoned:
            self._events.put_nowait(event)
        elif isinstance(event, Output):
            self._send(RunnerRequest(credit=Credit(id=self._id, bytes=len(event.data))))

    def taken(self, count: int) -> None:
        """The process has read so much of its stdin."""
        self._stdin_on_way -= count
        if self._stdin_on_way < STDIN_WINDOW_BYTES:
            self._stdin_room.set()
