"""Puts the access check in front of every handler of a server.

gRPC's interceptors see only the method and its metadata, so the handlers themselves are wrapped: inside
a handler the context knows the peer's certificate.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from agent.access.rules import Access

WRITE_LIMIT_S = 5.0
"""How long a reply may still be on its way to a client whose call is to end with a reason."""


class Guard(grpc.aio.ServerInterceptor):  # type: ignore[type-arg] # generic in the stubs only
    """Puts `Access` before every handler of the server, whichever service it belongs to."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the handler with the check in front of it."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        return guard(handler, handler_call_details.method, self._access)


def guard(handler: Any, method: str, access: Access) -> Any:
    """Wrap one method handler of any of the four kinds."""
    if handler.response_streaming:
        inner = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def stream(request: Any, context: Any) -> None:
            await access.admit(method, context)
            writing: asyncio.Future[None] | None = None
            try:
                answer = inner(request, context)
                if isinstance(answer, AsyncGenerator):
                    # Closed at once when the client goes, also in the middle of a write.
                    async with contextlib.aclosing(answer):
                        async for message in answer:
                            writing = asyncio.ensure_future(context.write(message))
                            await asyncio.shield(writing)
                else:
                    await answer
            except asyncio.CancelledError:
                # Half a reply cannot be taken back, and gRPC says nothing else until it is out.
                await _written(writing)
                await access.tell_revoked(context)
                raise

        make = (
            grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        )
        return make(stream, handler.request_deserializer, handler.response_serializer)
    inner = handler.stream_unary if handler.request_streaming else handler.unary_unary

    async def single(request: Any, context: Any) -> Any:
        await access.admit(method, context)
        try:
            return await inner(request, context)
        except asyncio.CancelledError:
            await access.tell_revoked(context)
            raise

    make_single = (
        grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
    )
    return make_single(single, handler.request_deserializer, handler.response_serializer)


async def _written(writing: "asyncio.Future[None] | None") -> None:
    if writing is not None:
        await asyncio.wait({writing}, timeout=WRITE_LIMIT_S)
        writing.cancel()
