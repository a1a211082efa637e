"""AgentCall against a real server: how a call ended is the server's word, also when our writes meet its end."""

import asyncio
import contextlib
import pathlib
import typing
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest

from agent.call import AgentCall, CallEnded

PATIENCE_S = 10.0
METHOD = "/test.Echo/Talk"


class Server(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Does with each call what the test says."""

    def __init__(self, talk: typing.Any) -> None:
        self._talk = talk

    def service(self, _: typing.Any) -> typing.Any:
        return grpc.stream_stream_rpc_method_handler(self._talk)


@contextlib.asynccontextmanager
async def calling(folder: pathlib.Path, talk: typing.Any) -> AsyncIterator[typing.Callable[[], AgentCall]]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Server(talk),))
    server.add_insecure_port(f"unix:{folder}/socket")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"unix:{folder}/socket") as channel:
            open_call: typing.Any = channel.stream_stream(METHOD)  # type: ignore[call-arg]
            yield lambda: AgentCall(open_call())
    finally:
        await server.stop(None)


async def test_a_refusal_arrives_however_the_first_write_meets_it(tmp_path: pathlib.Path) -> None:
    async def refuse(_: typing.Any, context: typing.Any) -> AsyncIterator[bytes]:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "not you")
        yield b""

    async with calling(tmp_path, refuse) as call, asyncio.timeout(PATIENCE_S):
        for _ in range(300):
            one = call()
            with contextlib.suppress(CallEnded):
                await one.write(b"start")
                await one.write(b"x" * 100_000)
            assert await one.read() is None
            assert await one.status() == (grpc.StatusCode.UNAUTHENTICATED, "not you")


async def test_what_arrived_before_a_bad_end_is_still_read(tmp_path: pathlib.Path) -> None:
    async def talk(_: typing.Any, context: typing.Any) -> AsyncIterator[bytes]:
        for index in range(3):
            yield b"%d" % index
        await context.abort(grpc.StatusCode.NOT_FOUND, "no more")

    async with calling(tmp_path, talk) as call, asyncio.timeout(PATIENCE_S):
        one = call()
        with contextlib.suppress(CallEnded):
            while True:
                await one.write(b"x")
        assert [await one.read() for _ in range(4)] == [b"0", b"1", b"2", None]
        assert await one.status() == (grpc.StatusCode.NOT_FOUND, "no more")
        with pytest.raises(CallEnded):
            await one.write(b"late")
        await one.done_writing()


async def test_writes_at_once_arrive_one_after_the_other(tmp_path: pathlib.Path) -> None:
    async def count(requests: AsyncIterator[bytes], _: typing.Any) -> AsyncIterator[bytes]:
        yield b"%d" % len([one async for one in requests])

    async with calling(tmp_path, count) as call, asyncio.timeout(PATIENCE_S):
        one = call()
        await asyncio.gather(*(one.write(b"x" * 10_000) for _ in range(200)))
        await one.done_writing()
        assert await one.read() == b"200"
        assert await one.read() is None
        assert await one.status() == (grpc.StatusCode.OK, "")


async def test_a_call_that_takes_nothing_can_be_cancelled(tmp_path: pathlib.Path) -> None:
    asleep = asyncio.Event()

    async def sleep(_: typing.Any, __: typing.Any) -> AsyncIterator[bytes]:
        asleep.set()
        await asyncio.Event().wait()
        yield b""

    async with calling(tmp_path, sleep) as call, asyncio.timeout(PATIENCE_S):
        one = call()

        async def write() -> None:
            while True:
                await one.write(b"x" * 1_000_000)

        writing = [asyncio.ensure_future(write()) for _ in range(2)]
        reading = asyncio.ensure_future(one.read())
        await asleep.wait()
        one.cancel()
        ends = await asyncio.gather(reading, *writing, return_exceptions=True)
        assert all(end is None or isinstance(end, (CallEnded, asyncio.CancelledError)) for end in ends), ends
        assert one.cancelled()
