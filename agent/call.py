"""A streaming call to an agent whose end is the agent's own word.

grpc.aio takes two things from a call: a write that meets its end, or another write, sets a status of grpc.aio's own
before the agent's, and with it the call counts as done: reads withhold what has arrived, and a cancel does nothing
(grpc/aio/_call.py, _StreamRequestMixin._write; grpcio 1.85). So writes go one after the other here and past that
step, and whoever wants to know how the call ended reads it to its end and asks for the status.
"""

import asyncio
import contextlib
import typing

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

RawCall = typing.Any
"""grpc.aio.StreamStreamCall; grpc-stubs has no types for grpc.aio."""


class CallEnded(Exception):  # noqa: N818 - not an error: what went wrong, if anything, is the status
    """The call has ended, so that nothing more can be written; its status says why."""


class AgentCall:
    """One call, made of what `stub.Method(…)` returned, unused."""

    def __init__(self, call: RawCall) -> None:
        self._call = call
        self._turn = asyncio.Lock()

    async def write(self, request: typing.Any) -> None:
        """Send one request after those before it; raise CallEnded when the call has ended.

        Waits while the agent takes nothing. To cancel it is to cancel the call: half a message cannot be taken back.
        """
        async with self._turn:
            if self._call.done():
                raise CallEnded
            with _ended():
                await self._call.wait_for_connection()
            encode = self._call._request_serializer  # noqa: SLF001
            try:
                # Not write(): see the top of this file.
                with _ended():
                    await self._call._cython_call.send_serialized_message(encode(request) if encode else request)  # noqa: SLF001
            except asyncio.CancelledError:
                self._call.cancel()
                raise

    async def done_writing(self) -> None:
        """Say that nothing more comes; nothing happens when the call has ended."""
        async with self._turn:
            with contextlib.suppress(cygrpc.InternalError, grpc.aio.AioRpcError):
                await self._call.done_writing()

    async def read(self) -> typing.Any:
        """Return the next reply, or None at the end of the call, whatever its status is."""
        # Not read(): it looks at the status first, and there may be replies that arrived before it.
        reply = await self._call._read()  # noqa: SLF001
        return None if reply is cygrpc.EOF else reply

    async def status(self) -> tuple[grpc.StatusCode, str]:
        """Wait for the end of the call and return its code and details."""
        return await self._call.code(), await self._call.details() or ""

    def cancel(self) -> None:
        """End the call; nothing happens when it has ended."""
        self._call.cancel()

    def cancelled(self) -> bool:
        """Whether `cancel` has ended it."""
        return bool(self._call.cancelled())


@contextlib.contextmanager
def _ended() -> typing.Iterator[None]:
    try:
        yield
    except (cygrpc.InternalError, grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
        raise CallEnded from error
