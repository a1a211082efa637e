"""A controller's end of the Work call, for tests that speak with an agent themselves."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import grpc

from agent.call import AgentCall, CallEnded
from agent.client import AgentChannel
from agent.proto import agent_pb2 as pb
from agent.work.outbox import CHUNK_BYTES

PATIENCE_S = 15.0


class Stream:
    """A controller's end of Work."""

    def __init__(self, channel: AgentChannel, **hello: Any) -> None:
        self.call = channel.stub.Work(metadata=channel.metadata)
        self.hello = pb.WorkRequest.Hello(**{"run_id": "run-1", "lease_s": 30, "cwd": b".", **hello})
        self.welcome = pb.WorkEvent.Welcome()
        self.results: dict[int, pb.ItemResult] = {}
        self.beats: list[pb.WorkEvent.Beat] = []

    async def open(self) -> "Stream":
        await self.call.write(pb.WorkRequest(hello=self.hello))
        self.welcome = (await self._read()).welcome
        return self

    async def refusal(self) -> tuple[grpc.StatusCode, str]:
        """How the call ends that is refused at its first word, which may meet that end."""
        call = AgentCall(self.call)
        with contextlib.suppress(CallEnded):
            await call.write(pb.WorkRequest(hello=self.hello))
        assert await call.read() is None
        return await call.status()

    async def lease(self, *commands: Sequence[bytes], first: int = 0, **item: Any) -> None:
        items = [
            pb.Item(index=first + place, attempt=1, lease=7, argv=argv, **{"value": b"v%d" % place, **item})
            for place, argv in enumerate(commands)
        ]
        await self.call.write(pb.WorkRequest(lease=pb.WorkRequest.Lease(items=items)))

    async def ack(self, *ids: int) -> None:
        await self.call.write(pb.WorkRequest(ack=pb.WorkRequest.Ack(result_ids=ids)))

    async def send(self, **request: Any) -> None:
        await self.call.write(pb.WorkRequest(**request))

    async def collect(self, count: int) -> list[pb.ItemResult]:
        """Read until there are so many results; return them by index."""
        while len(self.results) < count:
            await self.step()
        return [self.results[index] for index in sorted(self.results)]

    async def step(self) -> pb.WorkEvent:
        event = await self._read()
        for result in event.results.results:
            self.results[result.index] = result
        if event.HasField("beat"):
            self.beats.append(event.beat)
        return event

    async def fetch(self, result: pb.ItemResult, name: bytes) -> bytes:
        data = b""
        while True:
            wanted = pb.WorkRequest.FetchOutput(result_id=result.result_id, name=name, offset=len(data))
            await self.send(fetch=wanted)
            event = await self.step()
            while not event.HasField("chunk"):
                event = await self.step()
            assert event.chunk.error == ""
            assert len(event.chunk.data) <= CHUNK_BYTES
            data += event.chunk.data
            if event.chunk.last:
                return data

    async def _read(self) -> pb.WorkEvent:
        event = await asyncio.wait_for(self.call.read(), PATIENCE_S)
        assert isinstance(event, pb.WorkEvent), f"the stream ended: {await self.call.details()}"
        return event
