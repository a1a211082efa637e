"""Get: files that match globs from one node through its agent; nothing that the node says of them is believed."""

import asyncio
import collections.abc
import contextlib
import os

import grpc

from agent.call import AgentCall
from agent.client import AgentChannel
from agent.proto import agent_pb2
from tasks.files import faults, names
from tasks.files.arrivals import Arrival, Arrivals
from tasks.files.results import FileFault, FileResult, NodeFault, NodeReport, State

MISSING = "no such file or folder"

Tell = collections.abc.Callable[[FileResult], None]
Moved = collections.abc.Callable[[str, int], None]


class Inbox:
    """What all nodes of one transfer share, and how far each has come."""

    def __init__(self, globs: collections.abc.Sequence[str], arrivals: Arrivals, tell: Tell, moved: Moved) -> None:
        self.globs, self.arrivals, self.tell, self.moved = globs, arrivals, tell, moved
        self._through: dict[str, int] = {}
        self._seen: dict[str, set[str]] = {}
        self._matched: set[str] = set()

    def left(self, node: str) -> collections.abc.Sequence[str]:
        """The globs that this node has not answered to the end."""
        return self.globs[self._through.get(node, 0) :]

    def through(self, node: str) -> None:
        """One more glob is answered."""
        self._through[node] = self._through.get(node, 0) + 1
        self._seen.pop(node, None)

    def matched(self, glob: str) -> None:
        """A node has something that the glob means."""
        self._matched.add(glob)

    @property
    def unmatched(self) -> list[str]:
        """The globs that mean nothing on any node."""
        return [glob for glob in self.globs if glob not in self._matched]

    def add(self, report: NodeReport, result: FileResult) -> None:
        """Take a file's result; after a broken connection the same file may come a second time."""
        seen = self._seen.setdefault(report.node, set())
        if result.path in seen:
            return
        seen.add(result.path)
        report.add(result)
        self.tell(result)


class Receiver:
    """Receives from one node through its agent."""

    def __init__(self, inbox: Inbox, agent: AgentChannel, report: NodeReport) -> None:
        self._inbox, self._agent, self._report = inbox, agent, report

    async def run(self) -> None:
        """Receive what is left; raise NodeFault when the rest cannot be had."""
        for glob in self._inbox.left(self._report.node):
            base, pattern = names.split_glob(glob)
            try:
                await self._glob(glob, base, pattern)
            except FileFault as fault:
                # Of many nodes not all have what a wildcard means; a plain name was meant as it was said.
                if not fault.missing or not names.MAGIC & set(glob):
                    self._inbox.matched(glob)
                    # Where on a node it was looked for differs; that it is not there is the same answer.
                    text = MISSING if fault.missing else fault.text
                    result = FileResult(self._report.node, glob, fault.state, error=text)
                    self._inbox.add(self._report, result)
            self._inbox.through(self._report.node)

    async def _glob(self, glob: str, base: str, pattern: str) -> None:
        request = agent_pb2.GetRequest(globs=[pattern], base=os.fsencode(base))
        call = AgentCall(self._agent.stub.Get(request, metadata=self._agent.metadata))
        try:
            while reply := await call.read():
                if reply.WhichOneof("reply") != "header":
                    raise NodeFault(State.ERROR, "the agent sends data of no file")
                self._inbox.matched(glob)
                await self._file(call, reply.header, base, pattern)
            code, details = await call.status()
            if code is not grpc.StatusCode.OK:
                raise faults.of_status(code, details)
        finally:
            call.cancel()

    async def _file(self, call: AgentCall, header: agent_pb2.GetReply.Header, base: str, pattern: str) -> None:
        """Take one file to its trailer; raise NodeFault when the call is of no more use."""
        path = names.joined(base, header.path)
        try:
            placed = await self._take(call, header, pattern)
        except FileFault as fault:
            self._inbox.add(self._report, FileResult(self._report.node, path, fault.state, error=fault.text))
            if fault.state is State.REFUSED:
                # Who lies about one file may go on sending it for ever.
                text = f"{path}: {fault.text}; nothing more is taken from this node"
                raise NodeFault(State.REFUSED, text) from fault
        else:
            if placed is not None:
                self._inbox.add(self._report, placed)

    async def _take(self, call: AgentCall, header: agent_pb2.GetReply.Header, pattern: str) -> FileResult | None:
        with contextlib.ExitStack() as stack:
            arrival = await asyncio.to_thread(self._begin, header, pattern)
            if arrival is not None:
                stack.enter_context(arrival)
            while (reply := await self._next(call)).WhichOneof("reply") == "data":
                if arrival is None:
                    raise FileFault(State.REFUSED, "the node sends data of a folder")
                await asyncio.to_thread(arrival.write, reply.data)
                self._report.moved_bytes += len(reply.data)
                self._inbox.moved(self._report.node, len(reply.data))
            if reply.WhichOneof("reply") != "trailer":
                raise NodeFault(State.ERROR, "the agent sends a file within a file")
            if reply.trailer.error:
                raise FileFault(State.FAILED, reply.trailer.error)
            return None if arrival is None else await asyncio.to_thread(arrival.finish, reply.trailer.sha256)

    async def _next(self, call: AgentCall) -> agent_pb2.GetReply:
        reply: agent_pb2.GetReply | None = await call.read()
        if reply is not None:
            return reply
        fault = faults.of_status(*await call.status())
        # Whatever the status says, it came within a file: this node's stream is over.
        raise fault if isinstance(fault, NodeFault) else NodeFault(fault.state, fault.text)

    def _begin(self, header: agent_pb2.GetReply.Header, pattern: str) -> Arrival | None:
        if not names.is_asked_for(header.path, pattern):
            why = names.why_unsafe(header.path)
            raise FileFault(State.REFUSED, f"the name {why}" if why else "the node sends a file that nobody asked for")
        node = self._report.node
        if header.is_directory:
            self._inbox.arrivals.add_folder(node, header.path, header.mode)
            return None
        return self._inbox.arrivals.begin(node, header.path, header.size_bytes, header.mode)
