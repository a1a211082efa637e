"""Execute one command once on every node, through the agents; one Outcome a node, nothing lost."""

import asyncio
import collections.abc
import functools
import signal
import time
import typing

from agent.client import Identity, own_certificate_fault
from components.errors import GaxxError, NodeError, Refused
from components.inventory import Node
from tasks import failure, identity, inventory
from tasks.fanout import fan_out
from tasks.outcome import NEVER_STARTED, Ending, Outcome
from tasks.run.command import Command, Interrupt, Listener, Report, Via
from tasks.ssh import reach

if typing.TYPE_CHECKING:
    from agent.proto import agent_pb2


def execute(
    found: inventory.Found, nodes: collections.abc.Sequence[Node], command: Command, listener: Listener, *, via: Via
) -> Report:
    """Execute `command` on `nodes` through their agents or over SSH, with Ctrl-C minded; blocks until all is over."""

    async def minded() -> Report:
        interrupt = Interrupt()
        loop = asyncio.get_running_loop()

        def on_signal() -> None:
            interrupt.request()
            listener.interrupted(interrupt.count)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal)
        if via == "ssh":
            from tasks.run.over_ssh import run_over_ssh  # loads Fabric and paramiko

            return await run_over_ssh(found, nodes, command, listener, interrupt)
        return await run(found, nodes, command, listener, interrupt)

    return asyncio.run(minded())


async def run(
    found: inventory.Found,
    nodes: collections.abc.Sequence[Node],
    command: Command,
    listener: Listener,
    interrupt: Interrupt,
) -> Report:
    """Execute `command` on `nodes`; raise Refused when we are none of the stack's operators.

    Nodes that were never reached are tried once more when the cached inventory turns out to be old.
    """
    begin = time.monotonic()
    operator = identity.load()
    session = _Session(found, identity.agent_identity(found.inventory, operator), nodes, command, listener)
    session.greet(nodes[: command.fanout])

    def finished(outcome: Outcome) -> None:
        # With an old inventory, "unreachable" may be only the first word on this node.
        if not (found.cached and outcome.ending in NEVER_STARTED):
            listener.finished(outcome)

    async def on_node(node: Node) -> Outcome:
        return await session.on_node(node, interrupt)

    outcomes = await fan_out(nodes, on_node, fanout=command.fanout, on_result=finished)
    if found.cached and any(outcome.ending in NEVER_STARTED for outcome in outcomes):
        if not interrupt.count:
            outcomes = await _again(session, outcomes, found, operator, interrupt)
        for outcome in outcomes:
            if outcome.ending in NEVER_STARTED:
                listener.finished(outcome)
    return Report(command.run_id, tuple(outcomes), bool(interrupt.count), time.monotonic() - begin)


async def _again(
    session: "_Session",
    outcomes: list[Outcome],
    found: inventory.Found,
    operator: identity.Operator,
    interrupt: Interrupt,
) -> list[Outcome]:
    session.listener.note("some nodes were not reached: asking Pulumi whether the cached inventory is old")
    try:
        newer = await asyncio.to_thread(inventory.fetch, found.stack)
    except GaxxError as error:
        session.listener.note(f"the inventory could not be fetched again: {error}")
        return outcomes
    fresh = newer.inventory
    before = {node.name: node for node in found.inventory.nodes}
    changed = fresh.principals != found.inventory.principals or (
        fresh.authority_certificate != found.inventory.authority_certificate
    )
    away = {outcome.node for outcome in outcomes if outcome.ending in NEVER_STARTED}
    retry = [node for node in fresh.nodes if node.name in away and (changed or node != before[node.name])]
    if not retry:
        return outcomes
    session.use(newer, identity.agent_identity(fresh, operator))

    async def on_node(node: Node) -> Outcome:
        return await session.on_node(node, interrupt)

    def finished(outcome: Outcome) -> None:
        if outcome.ending not in NEVER_STARTED:
            session.listener.finished(outcome)

    second = await fan_out(retry, on_node, fanout=session.command.fanout, on_result=finished)
    by_name = {outcome.node: outcome for outcome in (*outcomes, *second)}
    return [by_name[outcome.node] for outcome in outcomes]


class _Session:
    """One command on the way to its nodes."""

    def __init__(
        self,
        found: inventory.Found,
        me: Identity,
        nodes: collections.abc.Sequence[Node],
        command: Command,
        listener: Listener,
    ) -> None:
        self.command, self.listener = command, listener
        self.use(found, me)
        self._ranks = {node.name: rank for rank, node in enumerate(nodes)}

    def use(self, found: inventory.Found, me: Identity) -> None:
        """Go on with this inventory, as this principal."""
        self._reach = reach.Reach(found, me)
        self._known, self._identity = found.inventory, me

    def greet(self, nodes: collections.abc.Sequence[Node]) -> None:
        """Let the first handshakes go on while what the calls need, protobuf above all, is loaded."""
        self._reach.greet(nodes)
        import tasks.run.exec_call  # noqa: F401 - loaded here, used by every call

    @functools.cached_property
    def _own_fault(self) -> str:
        # Only on trouble: it loads the cryptography that nobody else here needs.
        return own_certificate_fault(self._identity, self._known.authority_certificate)

    async def on_node(self, node: Node, interrupt: Interrupt) -> Outcome:
        """Execute on one node and answer for it, whatever happens."""
        if interrupt.count:
            return Outcome(node.name, Ending.CANCELLED, started=False)
        from tasks.run.exec_call import ExecOnNode

        call = ExecOnNode(node, self._start(node), self.command, self.listener)
        try:
            with interrupt.watching(call):
                async with self._reach.open(node, once=True) as agent:
                    outcome = await call.run(functools.partial(agent.stub.Exec, metadata=agent.metadata))
        except Refused as error:
            return Outcome(node.name, Ending.REFUSED, error=error.message.removeprefix(f"{node.name}: "), started=False)
        except NodeError as error:
            error_text = error.message.removeprefix(f"{node.name}: ")
            return Outcome(node.name, Ending.UNREACHABLE, error=error_text, started=False)
        if outcome.error == failure.REFUSED_OR_DOWN and self._own_fault:
            return outcome._replace(ending=Ending.REFUSED, error=self._own_fault)
        return outcome

    def _start(self, node: Node) -> "agent_pb2.ExecRequest":
        from agent.proto import agent_pb2

        own = {
            "GAXX_RUN_ID": self.command.run_id,
            "GAXX_NODE": node.name,
            "GAXX_NODE_RANK": str(self._ranks[node.name]),
            "GAXX_NODE_COUNT": str(len(self._ranks)),
        }
        command = agent_pb2.Command(
            argv=self.command.argv,
            env={**self.command.env, **{name: value.encode() for name, value in own.items()}},
            deadline_s=self.command.timeout_s,
            stdout_limit_bytes=self.command.output_limit_bytes,
            stderr_limit_bytes=self.command.output_limit_bytes,
            has_stdin=self.command.stdin is not None,
        )
        return agent_pb2.ExecRequest(start=agent_pb2.ExecRequest.Start(command=command, run_id=self.command.run_id))
