"""Put: the files of a plan onto one node through its agent, several small ones at once, large ones one by one."""

import asyncio
import collections.abc
import contextlib
import typing

from agent.call import AgentCall, CallEnded
from agent.client import AgentChannel
from agent.proto import agent_pb2
from tasks.files import faults
from tasks.files.chunks import CHUNK_BYTES, Chunks
from tasks.files.local_files import Digests, Plan, Source
from tasks.files.results import FileFault, FileResult, NodeFault, NodeReport, State

STREAMS = 4
"""Files at once on one node: what one waits for the other uses."""
_METHOD = f"/{agent_pb2.DESCRIPTOR.services_by_name['Agent'].full_name}/Put"
_END = agent_pb2.PutRequest(end=True).SerializeToString()

Tell = collections.abc.Callable[[FileResult], None]
Moved = collections.abc.Callable[[str, int], None]


class Outbox:
    """What all nodes of one transfer share, and what each has got so far."""

    def __init__(self, plan: Plan, tell: Tell, moved: Moved) -> None:
        self.plan, self.tell, self.moved = plan, tell, moved
        self.digests, self.chunks = Digests(), Chunks()
        self._done: dict[str, bytearray] = {}

    def left(self, node: str) -> collections.abc.Iterator[tuple[int, Source]]:
        """The sources that have no result on this node yet."""
        done = self._done.setdefault(node, bytearray(len(self.plan.sources)))
        return ((index, source) for index, source in enumerate(self.plan.sources) if not done[index])

    def add(self, report: NodeReport, index: int, result: FileResult) -> None:
        """Take a file's result."""
        self._done[report.node][index] = 1
        report.add(result)
        self.tell(result)


class Sender:
    """Sends what is left to one node through its agent."""

    def __init__(self, outbox: Outbox, agent: AgentChannel, report: NodeReport) -> None:
        self._outbox, self._agent, self._report = outbox, agent, report
        # Only one large file at a time: it fills the way alone, and two would only take twice the memory.
        self._large = asyncio.Lock()
        # Pieces come encoded.
        self._open: typing.Any = agent.channel.stream_stream(
            _METHOD, request_serializer=None, response_deserializer=agent_pb2.PutReply.FromString
        )

    async def run(self) -> None:
        """Send everything; raise NodeFault when the rest cannot be sent."""
        queue = self._outbox.left(self._report.node)

        async def worker() -> None:
            for index, source in queue:
                await self._send(index, source)

        workers = [asyncio.ensure_future(worker()) for _ in range(min(STREAMS, len(self._outbox.plan.sources)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for task in workers:
                task.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _send(self, index: int, source: Source) -> None:
        report = self._report
        digest = ""
        try:
            digest = await self._outbox.digests.of(source)
            async with self._large if source.size_bytes > CHUNK_BYTES else contextlib.nullcontext():
                state = await self._converse(source, digest)
            result = FileResult(report.node, source.remote, state, source.size_bytes, digest, source.local)
        except FileFault as fault:
            text = "changed while it was sent" if source.changed() else fault.text
            state = State.FAILED if source.changed() else fault.state
            result = FileResult(report.node, source.remote, state, source.size_bytes, digest, source.local, text)
        except OSError as error:
            text = f"{source.local} cannot be read: {error.strerror or error}"
            result = FileResult(report.node, source.remote, State.FAILED, source.size_bytes, "", source.local, text)
        self._outbox.add(report, index, result)

    async def _converse(self, source: Source, digest: str) -> State:
        call = AgentCall(self._open(metadata=self._agent.metadata))
        try:
            return await self._stream(call, source, digest)
        except CallEnded as error:
            raise faults.of_status(*await call.status()) from error
        finally:
            call.cancel()

    async def _stream(self, call: AgentCall, source: Source, digest: str) -> State:
        begin = agent_pb2.PutRequest.Begin(
            path=source.remote, size_bytes=source.size_bytes, sha256=digest, mode=source.mode
        )
        await call.write(agent_pb2.PutRequest(begin=begin).SerializeToString())
        have = await self._reply(call)
        if have.have_bytes > source.size_bytes:
            raise NodeFault(State.ERROR, f"the agent says it has {have.have_bytes} bytes of {source.size_bytes}")
        offset = have.have_bytes
        while offset < source.size_bytes:
            request, size = await self._outbox.chunks.request(source, offset)
            await call.write(request)
            offset += size
            self._report.moved_bytes += size
            self._outbox.moved(self._report.node, size)
        await call.write(_END)
        await call.done_writing()
        if not (await self._reply(call)).stored:
            raise NodeFault(State.ERROR, "the agent took a file and does not say that it is stored")
        is_there = have.have_bytes == source.size_bytes and source.size_bytes > 0
        return State.UNCHANGED if is_there else State.SENT

    async def _reply(self, call: AgentCall) -> agent_pb2.PutReply:
        reply: agent_pb2.PutReply | None = await call.read()
        if reply is not None:
            return reply
        raise faults.of_status(*await call.status())
