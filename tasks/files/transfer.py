"""A job on all nodes at once: through the agents, by SFTP where one does not answer; one report a node."""

import asyncio
import collections.abc
import concurrent.futures
import dataclasses
import functools
import signal
import time
import typing

import grpc

from agent.client import AgentChannel, own_certificate_fault
from agent.proto import agent_pb2
from components.errors import GaxxError, NodeError, Refused
from components.inventory import Node
from tasks import failure, identity, inventory
from tasks.fanout import DEFAULT_FANOUT, fan_out
from tasks.files import faults
from tasks.files.results import GONE, NodeFault, NodeReport, State, Transfer
from tasks.run.command import Interrupt, Via
from tasks.ssh import reach

if typing.TYPE_CHECKING:
    from tasks.files.ssh_node import SshNode

ATTEMPTS = 3
"""Of a node whose connection breaks under way: what it has got already is not sent again."""
PAUSE_S = 1.0
"""Before the second attempt; twice that before the third."""


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """How the nodes are reached."""

    via: Via = "agent"
    fanout: int = DEFAULT_FANOUT
    connect_timeout_s: float = 15.0


class Listener(typing.Protocol):
    """Told of what happens while it happens, from the loop's thread."""

    def note(self, text: str) -> None:
        """Take a line for the person who waits."""

    def answered(self, report: NodeReport) -> None:
        """Take note that a node is through, well or not."""


class Job(typing.Protocol):
    """What is done on each node; it remembers how far each has come."""

    def report(self, node: Node) -> NodeReport:
        """An empty report."""

    async def by_agent(self, agent: AgentChannel, report: NodeReport) -> None:
        """Do what is left through the agent. Raises NodeFault."""

    def by_ssh(self, remote: "SshNode", report: NodeReport, loop: asyncio.AbstractEventLoop) -> None:
        """Do what is left over SSH; in a thread. Raises NodeFault."""


def carry(
    found: inventory.Found, nodes: collections.abc.Sequence[Node], job: Job, way: Way, listener: Listener
) -> Transfer:
    """Do the job on all nodes, with Ctrl-C minded; blocks. Raise Refused when we are none of the stack's operators."""

    async def minded() -> Transfer:
        interrupt = Interrupt()
        loop = asyncio.get_running_loop()

        def on_signal() -> None:
            interrupt.request()
            listener.note("stopping: what has arrived whole is kept")
            # The second one is nobody's but the interpreter's.
            loop.remove_signal_handler(signal.SIGINT)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal)
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(min(way.fanout, len(nodes)), "ssh") as threads:
            reports = await _Carrier(found, job, way, listener, interrupt, threads).run(nodes)
        return Transfer(tuple(reports), bool(interrupt.count), time.monotonic() - begin)

    return asyncio.run(minded())


class _Call:
    """What an interrupt ends."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.remote: SshNode | None = None

    def stop(self, *, now: bool) -> None:
        """End it; files half-way stay where the next attempt finds them."""
        del now
        if self.remote is not None:
            self.remote.stop()
        elif self.task is not None:
            self.task.cancel()


class _Carrier:
    def __init__(
        self,
        found: inventory.Found,
        job: Job,
        way: Way,
        listener: Listener,
        interrupt: Interrupt,
        threads: concurrent.futures.Executor,
    ) -> None:
        self._job, self._way, self._listener, self._interrupt = job, way, listener, interrupt
        # Not the loop's own threads: those that wait here would keep those from hashing that they wait for.
        self._threads = threads
        self._operator = identity.load()
        self._use(found)

    def _use(self, found: inventory.Found) -> None:
        self._found = found
        self._identity = identity.agent_identity(found.inventory, self._operator)
        self._reach = reach.Reach(found, self._identity)

    @functools.cached_property
    def _own_fault(self) -> str:
        return own_certificate_fault(self._identity, self._found.inventory.authority_certificate)

    async def run(self, nodes: collections.abc.Sequence[Node]) -> list[NodeReport]:
        """Do the job everywhere."""
        reports = await self._on_all(nodes)
        away = {report.node for report in reports if report.state in {State.UNREACHABLE, State.REFUSED}}
        if away and self._found.cached and not self._interrupt.count:
            second = await self._again([node for node in nodes if node.name in away])
            reports = [second.get(report.node, report) for report in reports]
        return reports

    async def _again(self, away: collections.abc.Sequence[Node]) -> dict[str, NodeReport]:
        """Try those nodes once more that a newer inventory knows otherwise."""
        self._listener.note("some nodes do not know us: asking Pulumi whether the cached inventory is old")
        try:
            newer = await asyncio.to_thread(inventory.fetch, self._found.stack)
        except GaxxError as error:
            self._listener.note(f"the inventory could not be fetched again: {error}")
            return {}
        old, fresh = self._found.inventory, newer.inventory
        changed = (fresh.principals, fresh.authority_certificate) != (old.principals, old.authority_certificate)
        before = {node.name: node for node in away}
        retry = [node for node in fresh.nodes if node.name in before and (changed or node != before[node.name])]
        if not retry:
            return {}
        self._use(newer)
        return {report.node: report for report in await self._on_all(retry)}

    async def _on_all(self, nodes: collections.abc.Sequence[Node]) -> list[NodeReport]:
        return await fan_out(nodes, self._on_node, fanout=self._way.fanout, on_result=self._listener.answered)

    async def _on_node(self, node: Node) -> NodeReport:
        report = self._job.report(node)
        begin = time.monotonic()
        call = _Call()
        if self._interrupt.count:
            report.state = State.CANCELLED
            return report
        with self._interrupt.watching(call):
            try:
                await self._by_any_way(node, report, call)
            except NodeFault as fault:
                report.state, report.error = fault.state, fault.text
            except asyncio.CancelledError:
                if not self._interrupt.count:
                    raise
                report.state, report.error = State.CANCELLED, "cancelled"
        if self._interrupt.count and report.state in GONE:
            report.state, report.error = State.CANCELLED, "cancelled"
        report.wall_s = time.monotonic() - begin
        return report

    async def _by_any_way(self, node: Node, report: NodeReport, call: _Call) -> None:
        if self._way.via == "ssh":
            await self._by_ssh(node, report, call)
            return
        try:
            call.task = asyncio.ensure_future(self._by_agent(node, report))
            await call.task
        except NodeFault as fault:
            if fault.state not in GONE or self._interrupt.count:
                raise
            self._listener.note(f"{node.name}: no agent ({fault.text}): trying SSH")
            try:
                await self._by_ssh(node, report, call)
            except NodeFault as second:
                text = f"agent: {fault.text}; SSH: {second.text}" if second.state in GONE else second.text
                raise NodeFault(second.state, text) from fault

    async def _by_agent(self, node: Node, report: NodeReport) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._attempt(node, report)
            except NodeFault as fault:
                never_there = attempt == 1 and fault.state is State.UNREACHABLE
                if fault.state not in GONE or never_there or attempt == ATTEMPTS:
                    raise
                self._listener.note(f"{node.name}: {fault.text}: going on where it broke off")
                # An agent that is started anew takes about a second.
                await asyncio.sleep(attempt * PAUSE_S)
            else:
                return

    async def _attempt(self, node: Node, report: NodeReport) -> None:
        try:
            async with self._reach.open(node) as agent:
                await self._greet(agent)
                await self._job.by_agent(agent, report)
        except Refused as error:
            raise NodeFault(State.REFUSED, error.message.removeprefix(f"{node.name}: ")) from error
        except NodeError as error:
            raise NodeFault(State.UNREACHABLE, error.message.removeprefix(f"{node.name}: ")) from error

    async def _greet(self, agent: AgentChannel) -> None:
        """Ask anything first: whether and why nobody is there is told at once, whatever the files take afterwards."""
        timeout_s = self._way.connect_timeout_s
        try:
            await agent.stub.Info(agent_pb2.InfoRequest(), metadata=agent.metadata, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise NodeFault(State.UNREACHABLE, f"no answer within {timeout_s:g} s") from error
            fault = faults.of_first_call(error)
            if fault.text == failure.REFUSED_OR_DOWN and self._own_fault:
                raise NodeFault(State.REFUSED, self._own_fault) from error
            raise fault from error

    async def _by_ssh(self, node: Node, report: NodeReport, call: _Call) -> None:
        from tasks.files.ssh_node import SshNode  # loads Fabric and paramiko

        report.via = "ssh"
        principal = identity.principal(self._found.inventory, self._operator).name
        remote = call.remote = SshNode(node, self._operator, principal, connect_timeout_s=self._way.connect_timeout_s)
        loop = asyncio.get_running_loop()

        def work() -> None:
            with remote:
                self._job.by_ssh(remote, report, loop)

        await loop.run_in_executor(self._threads, work)
