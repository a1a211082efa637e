"""How a handler ends a call that it will not serve."""

from typing import Any, NoReturn

import grpc
import grpc.aio

from agent.errors import SAID_BY_AGENT

Context = grpc.aio.ServicerContext[Any, Any]


async def refuse(context: Context, status: grpc.StatusCode, message: str) -> NoReturn:
    """End the call with `status`, marked as the agent's own word."""
    await context.abort(status, message, (SAID_BY_AGENT,))
    raise AssertionError(message)
