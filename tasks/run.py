"""Execute one command once on every node, through the agents; one Outcome a node, nothing lost."""

import asyncio
import collections.abc
import contextlib
import dataclasses
import datetime as dt
import functools
import secrets
import signal
import time
import typing

import grpc

from agent.client import Identity, own_certificate_fault
from agent.proto import agent_pb2
from components.errors import GaxxError, NodeError, Refused
from components.inventory import Node
from tasks import failure, identity, inventory, reach
from tasks.fanout import DEFAULT_FANOUT, fan_out
from tasks.outcome import NEVER_STARTED, Ending, Outcome
from tasks.stdin import Spool

OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024
"""Kept of each stream of each node, unless told otherwise."""
CONNECT_TIMEOUT_S = 15.0
"""From the first packet to the started process; a machine that is gone does not even refuse."""
DEADLINE_GRACE_S = 15.0
"""What a node gets beyond the command's own deadline to report that it killed it."""


def new_run_id() -> str:
    """A name for a run that sorts by time and does not collide: 20260131-235959-1f3a."""
    return f"{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """What to execute, and within which bounds."""

    argv: tuple[bytes, ...]
    env: collections.abc.Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    timeout_s: float = 0.0
    """0: none."""
    fanout: int = DEFAULT_FANOUT
    output_limit_bytes: int = OUTPUT_LIMIT_BYTES
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    stdin: Spool | None = None
    run_id: str = dataclasses.field(default_factory=new_run_id)


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """The answer of every node, in the order asked."""

    run_id: str
    outcomes: tuple[Outcome, ...]
    interrupted: bool
    wall_s: float


class Listener(typing.Protocol):
    """Told of what happens while it happens."""

    def output(self, node: str, data: bytes, *, is_stderr: bool) -> bool:
        """Take a piece of output; True: it need not be kept for the outcome."""

    def finished(self, outcome: Outcome) -> None:
        """Take a node's last word."""

    def note(self, text: str) -> None:
        """Take a line for the person who waits."""

    def interrupted(self, count: int) -> None:
        """Take note that the user wants to stop, for the `count`th time."""


Via = typing.Literal["agent", "ssh"]


class Stoppable(typing.Protocol):
    """One call on one node."""

    def stop(self, *, now: bool) -> None:
        """End the command gently, or at once."""


class Interrupt:
    """The user's wish to stop: the first asks the commands to end, the second ends the calls."""

    def __init__(self) -> None:
        self.count = 0
        self._calls: set[Stoppable] = set()

    def request(self) -> None:
        """Stop gently; at once when asked again."""
        self.count += 1
        for call in tuple(self._calls):
            call.stop(now=self.count > 1)

    @contextlib.contextmanager
    def watching(self, call: Stoppable) -> collections.abc.Iterator[None]:
        """Pass interrupts on to `call` for the length of the block."""
        self._calls.add(call)
        try:
            yield
        finally:
            self._calls.discard(call)


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
            from tasks.ssh_run import run_over_ssh  # loads Fabric and paramiko

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
    session.listener.note("some nodes do not know us: asking Pulumi whether the cached inventory is old")
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

    @functools.cached_property
    def _own_fault(self) -> str:
        # Only on trouble: it loads the cryptography that nobody else here needs.
        return own_certificate_fault(self._identity, self._known.authority_certificate)

    async def on_node(self, node: Node, interrupt: Interrupt) -> Outcome:
        """Execute on one node and answer for it, whatever happens."""
        if interrupt.count:
            return Outcome(node.name, Ending.CANCELLED, started=False)
        call = _Call(node, self._start(node), self.command, self.listener)
        try:
            with interrupt.watching(call):
                async with self._reach.open(node) as agent:
                    outcome = await call.run(agent.stub.Exec(metadata=agent.metadata))
        except Refused as error:
            return Outcome(node.name, Ending.REFUSED, error=str(error).removeprefix(f"{node.name}: "), started=False)
        except NodeError as error:
            error_text = error.message.removeprefix(f"{node.name}: ")
            return Outcome(node.name, Ending.UNREACHABLE, error=error_text, started=False)
        if outcome.error == failure.REFUSED_OR_DOWN and self._own_fault:
            return dataclasses.replace(outcome, ending=Ending.REFUSED, error=self._own_fault)
        return outcome

    def _start(self, node: Node) -> agent_pb2.ExecRequest:
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


ExecCall = typing.Any
"""grpc.aio.StreamStreamCall; grpc-stubs has no types for grpc.aio."""


class _Call:
    """One Exec on one node."""

    def __init__(self, node: Node, start: agent_pb2.ExecRequest, command: Command, listener: Listener) -> None:
        self._node, self._start, self._command, self._listener = node, start, command, listener
        self._call: ExecCall = None
        self._started = False
        self._feeding: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._stdout: list[bytes] = []
        self._stderr: list[bytes] = []

    def stop(self, *, now: bool) -> None:
        """Send SIGTERM to the process group; `now`: end the call, so that the agent kills the group."""
        if self._call is None:
            return
        if now or not self._started:
            self._call.cancel()
        elif self._stopping is None:
            self._stopping = asyncio.ensure_future(self._signal(signal.SIGTERM))

    async def run(self, call: ExecCall) -> Outcome:
        """Hold the conversation and say how it ended."""
        self._call = call
        try:
            return await self._converse()
        except TimeoutError:
            call.cancel()
            if self._started:
                return self._with_output(Ending.LOST, error="nothing more was heard, also after the deadline")
            bound = f"{self._command.connect_timeout_s:g} s"
            return Outcome(self._node.name, Ending.UNREACHABLE, error=f"no answer within {bound}", started=False)
        except grpc.aio.AioRpcError as error:
            return self._failed(error.code(), error.details() or "")
        except asyncio.CancelledError:
            # Ours when `stop` has cancelled the call; the task's own cancellation goes on.
            task = asyncio.current_task()
            if not call.cancelled() or (task is not None and task.cancelling()):
                raise
            return self._with_output(Ending.CANCELLED)
        finally:
            for running in (self._feeding, self._stopping):
                if running is not None:
                    running.cancel()
                    await asyncio.gather(running, return_exceptions=True)

    async def _converse(self) -> Outcome:
        call = self._call
        async with asyncio.timeout(self._command.connect_timeout_s):
            await call.write(self._start)
            event = await call.read()
        async with asyncio.timeout(self._command.timeout_s + DEADLINE_GRACE_S if self._command.timeout_s else None):
            while event:
                kind = event.WhichOneof("event")
                if kind == "started":
                    self._begun()
                elif kind == "exited":
                    return self._outcome(event.exited)
                else:
                    self._take(event.stdout or event.stderr, is_stderr=kind == "stderr")
                event = await call.read()
        # The stream ended without the last event: the status says why.
        details = await call.details() or "the agent ended the call without saying how the command ended"
        return self._failed(await call.code(), details)

    def _begun(self) -> None:
        self._started = True
        if self._command.stdin is not None:
            self._feeding = asyncio.ensure_future(self._feed(self._command.stdin))

    def _take(self, data: bytes, *, is_stderr: bool) -> None:
        if not self._listener.output(self._node.name, data, is_stderr=is_stderr):
            (self._stderr if is_stderr else self._stdout).append(data)

    async def _feed(self, spool: Spool) -> None:
        # The process may end, and the call with it, before it has read everything: that is its right.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            try:
                async for chunk in spool.chunks():
                    await self._call.write(agent_pb2.ExecRequest(stdin=chunk))
            except OSError as error:
                self._listener.note(f"{self._node.name} got only a part of the input: {error}")
            await self._call.write(agent_pb2.ExecRequest(stdin_eof=True))

    async def _signal(self, number: int) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self._call.write(agent_pb2.ExecRequest(signal=number))

    def _failed(self, code: grpc.StatusCode, details: str) -> Outcome:
        if code is grpc.StatusCode.CANCELLED:
            return self._with_output(Ending.CANCELLED)
        ending, error = failure.classify(code, details, started=self._started)
        return self._with_output(ending, error=error)

    def _outcome(self, end: agent_pb2.Exit) -> Outcome:
        ending = _ENDINGS.get(end.ending, Ending.ERROR)
        return dataclasses.replace(
            self._with_output(ending, error=end.error),
            exit_code=end.exit_code if ending is Ending.EXITED else None,
            signal=end.signal if ending is Ending.SIGNALED else None,
            stdout_cut=end.stdout_cut,
            stderr_cut=end.stderr_cut,
            wall_s=end.wall_s,
        )

    def _with_output(self, ending: Ending, *, error: str = "") -> Outcome:
        stdout, stderr = b"".join(self._stdout), b"".join(self._stderr)
        return Outcome(self._node.name, ending, error=error, stdout=stdout, stderr=stderr, started=self._started)


_ENDINGS = {
    agent_pb2.EXITED: Ending.EXITED,
    agent_pb2.SIGNALED: Ending.SIGNALED,
    agent_pb2.DEADLINE: Ending.DEADLINE,
    agent_pb2.CANCELLED: Ending.CANCELLED,
    agent_pb2.SPAWN_FAILED: Ending.SPAWN_FAILED,
    agent_pb2.RUNNER_LOST: Ending.RUNNER_LOST,
}
