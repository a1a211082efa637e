"""The one long stream to one node: kept up for as long as the run lasts, reconnected when it breaks."""

import asyncio
import collections.abc
import contextlib
import time
import typing

import grpc

from agent.call import AgentCall, CallEnded
from agent.client import own_certificate_fault
from agent.proto import agent_pb2 as pb
from components.errors import GaxxError
from components.inventory import Node
from tasks import failure, identity
from tasks.inventory import Found
from tasks.outcome import Ending
from tasks.ssh.reach import Reach

_BACK_OFF_S = (0.1, 0.3, 1.0, 2.0, 5.0)
CONNECT_TIMEOUT_S = 15.0


class Listener(typing.Protocol):
    """Told what a node says; called from the event loop, never concurrently."""

    def connected(self, stream: "NodeStream", welcome: pb.WorkEvent.Welcome) -> None:
        """The node is there (again)."""

    def results(self, stream: "NodeStream", results: collections.abc.Sequence[pb.ItemResult]) -> None:
        """Items came back."""

    def beat(self, stream: "NodeStream", beat: pb.WorkEvent.Beat) -> None:
        """A sign of life."""

    def disconnected(self, stream: "NodeStream", reason: str) -> None:
        """The stream broke; it is being set up again."""

    def refused(self, stream: "NodeStream", reason: str) -> None:
        """The node, or we, did not prove an identity: it is not tried again."""


class Fetch(typing.NamedTuple):
    """Names what is being fetched in chunks."""

    result_id: int
    name: bytes
    offset: int


class _Ended(Exception):  # noqa: N818 - not an error of ours: how the node ended the stream
    """The stream ended with this status."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code, self.details = code, details


class Way:
    """How the nodes of the stack are reached, and as whom; raise Refused when we are none of its operators."""

    def __init__(self, found: Found) -> None:
        self.renew(found)

    def renew(self, found: Found) -> None:
        """Go on with this inventory: keys and certificates may have been rotated."""
        self.identity = identity.agent_identity(found.inventory, identity.load())
        self.authority_pem = found.inventory.authority_certificate
        self.reach = Reach(found, self.identity)


class NodeStream:
    """The stream to one node. `send` never blocks: what the node does not take waits here, bounded by its leases."""

    def __init__(self, way: "Way", node: Node, hello: pb.WorkRequest.Hello, listener: Listener) -> None:
        self.node = node
        self.name = node.name
        self.connected = False
        self.refused = False
        self.reason = ""
        """Why it is not connected."""
        self.welcome = pb.WorkEvent.Welcome()
        self.heard_s = 0.0
        self._way = way
        self._hello = hello
        self._listener = listener
        self._outbox: asyncio.Queue[pb.WorkRequest | None] = asyncio.Queue()
        self._fetches: dict[Fetch, asyncio.Future[pb.WorkEvent.Chunk]] = {}
        self._closing = False
        self._call: AgentCall | None = None
        self._task: asyncio.Task[None] | None = None

    def send(self, request: pb.WorkRequest) -> None:
        """Send when connected; dropped otherwise, because the next welcome settles what the node has."""
        if self.connected:
            self._outbox.put_nowait(request)

    async def fetch(self, result_id: int, name: bytes, offset: int) -> pb.WorkEvent.Chunk:
        """Ask for one chunk of an output or file; raise ConnectionError when the node goes away."""
        if not self.connected:
            raise ConnectionError(self.reason)
        key = Fetch(result_id, name, offset)
        future = self._fetches[key] = asyncio.get_running_loop().create_future()
        self.send(pb.WorkRequest(fetch=pb.WorkRequest.FetchOutput(result_id=result_id, name=name, offset=offset)))
        try:
            chunk: pb.WorkEvent.Chunk = await future
        finally:
            self._fetches.pop(key, None)
        return chunk

    async def run(self) -> None:
        """Keep the stream up until cancelled, closed or refused."""
        self._task = asyncio.current_task()
        failures = 0
        while not (self._closing or self.refused):
            started_s = time.monotonic()
            try:
                await self._once()
                self.reason = "the agent ended the stream"
            except GaxxError as error:
                self.reason = error.message
                self.refused = error.exit_code == 2  # noqa: PLR2004 - Refused and its kin
            except _Ended as ended:
                self._failed(ended)
            except asyncio.CancelledError:
                # Ours when `reconnect` has cancelled the call; the task's own cancellation goes on.
                task = asyncio.current_task()
                if self._call is None or not self._call.cancelled() or (task is not None and task.cancelling()):
                    raise
                self.reason = "another machine has taken its place"
            finally:
                self._disconnected()
            if self._closing:
                return
            if self.refused:
                self._listener.refused(self, self.reason)
                return
            self._listener.disconnected(self, self.reason)
            failures = 0 if time.monotonic() - started_s > _BACK_OFF_S[-1] else failures + 1
            await asyncio.sleep(_BACK_OFF_S[min(failures, len(_BACK_OFF_S)) - 1])

    def reconnect(self, node: Node) -> None:
        """Begin anew with another machine of the same name."""
        self.node = node
        if self._call is not None:
            self._call.cancel()

    async def close(self, *, bye: bool) -> None:
        """End the stream; with `bye` the node forgets the run."""
        self._closing = True
        if self._task is not None and not self.connected:
            self._task.cancel()
        if self.connected:
            if bye:
                self.send(pb.WorkRequest(bye=pb.WorkRequest.Bye()))
            self._outbox.put_nowait(None)

    async def _once(self) -> None:
        async with self._way.reach.open(self.node) as agent:
            call = self._call = AgentCall(agent.stub.Work(metadata=agent.metadata))
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    # An agent that refuses may end the call before it has all of this.
                    with contextlib.suppress(CallEnded):
                        await call.write(pb.WorkRequest(hello=self._hello))
                    first = await call.read()
            except TimeoutError as error:
                call.cancel()
                message = f"no answer within {CONNECT_TIMEOUT_S:g} s"
                raise GaxxError(message) from error
            if first is None:
                await _raise_status(call)
                return
            self._welcomed(first)
            writer = asyncio.create_task(self._write(call))
            try:
                while event := await call.read():
                    self._take(event)
                await _raise_status(call)
            finally:
                call.cancel()
                writer.cancel()
                await asyncio.gather(writer, return_exceptions=True)

    def _welcomed(self, event: pb.WorkEvent) -> None:
        self.welcome = event.welcome
        self._outbox = asyncio.Queue()
        self.connected = True
        self.reason = ""
        self.heard_s = time.monotonic()
        self._listener.connected(self, event.welcome)

    async def _write(self, call: AgentCall) -> None:
        # The call's end is the reader's business.
        with contextlib.suppress(CallEnded):
            while (request := await self._outbox.get()) is not None:
                await call.write(request)
            await call.done_writing()

    def _take(self, event: pb.WorkEvent) -> None:
        self.heard_s = time.monotonic()
        match event.WhichOneof("event"):
            case "results":
                self._listener.results(self, event.results.results)
            case "beat":
                self._listener.beat(self, event.beat)
            case "chunk":
                chunk = event.chunk
                future = self._fetches.get(Fetch(chunk.result_id, chunk.name, chunk.offset))
                if future is not None and not future.done():
                    future.set_result(chunk)

    def _disconnected(self) -> None:
        self.connected = False
        for future in self._fetches.values():
            if not future.done():
                future.set_exception(ConnectionError(self.reason or "the stream broke"))

    def _failed(self, ended: _Ended) -> None:
        ending, reason = failure.classify(ended.code, ended.details, started=False)
        self.reason = reason
        self.refused = ending is Ending.REFUSED
        if ending is Ending.UNREACHABLE and reason == failure.REFUSED_OR_DOWN:
            own = own_certificate_fault(self._way.identity, self._way.authority_pem)
            self.refused, self.reason = bool(own), own or reason


async def _raise_status(call: AgentCall) -> None:
    code, details = await call.status()
    if code is not grpc.StatusCode.OK:
        raise _Ended(code, details)
