"""One command on one node through its agent: the conversation, and the one Outcome that it ends in."""

import asyncio
import collections.abc
import contextlib
import signal

import grpc

from agent.call import AgentCall, CallEnded, RawCall
from agent.proto import agent_pb2
from components.inventory import Node
from tasks import failure
from tasks.outcome import Ending, Outcome
from tasks.run.command import Command, Listener
from tasks.run.stdin import Spool

DEADLINE_GRACE_S = 15.0
"""What a node gets beyond the command's own deadline to report that it killed it."""
SIGNAL_LIMIT_S = 2.0
"""How long a command may go on to run after SIGTERM while there is input that it does not read."""
KILL_ANSWER_S = 1.0
"""How long an agent may take to report that it killed, once the user wants to stop now."""


class ExecOnNode:
    """One Exec on one node."""

    def __init__(self, node: Node, start: agent_pb2.ExecRequest, command: Command, listener: Listener) -> None:
        self._node, self._start, self._command, self._listener = node, start, command, listener
        self._call: AgentCall | None = None
        self._started = False
        self._unwanted = False
        self._feeding: asyncio.Task[None] | None = None
        self._stopping: list[asyncio.Task[None]] = []
        self._stdout: list[bytes] = []
        self._stderr: list[bytes] = []

    def stop(self, *, now: bool) -> None:
        """Send SIGTERM to the process group; `now`: SIGKILL, and then end the call whatever the agent says."""
        self._unwanted = True
        if self._call is None:
            return
        if not self._started:
            self._call.cancel()
        elif now:
            self._stopping.append(asyncio.ensure_future(self._kill(self._call)))
        else:
            self._stopping.append(asyncio.ensure_future(self._terminate(self._call)))

    async def _terminate(self, call: AgentCall) -> None:
        self._stopping.append(asyncio.ensure_future(self._signal(call, signal.SIGTERM)))
        if self._feeding is None:
            return
        # The signal comes behind the input, and may wait here as well as at the agent while nobody reads that.
        await asyncio.wait({self._feeding}, timeout=SIGNAL_LIMIT_S)
        if not self._feeding.done():
            # To what nobody waits for any more the agent sends SIGTERM, too, and later SIGKILL.
            call.cancel()

    async def _kill(self, call: AgentCall) -> None:
        # Both at once: input that the command does not read may stand in the signal's way.
        asked = asyncio.ensure_future(self._signal(call, signal.SIGKILL))
        self._stopping.append(asked)
        await asyncio.sleep(KILL_ANSWER_S)
        call.cancel()

    async def run(self, open_call: collections.abc.Callable[[], RawCall]) -> Outcome:
        """Hold the conversation and say how it ended; `open_call` makes a call on which nothing was sent."""
        if self._unwanted:
            # Stopped while the way to the node was still being made.
            return self._with_output(Ending.CANCELLED)
        call = self._call = AgentCall(open_call())
        try:
            return await self._converse(call)
        except TimeoutError:
            call.cancel()
            if self._started:
                return self._with_output(Ending.LOST, error="nothing more was heard, also after the deadline")
            bound = f"{self._command.connect_timeout_s:g} s"
            return Outcome(self._node.name, Ending.UNREACHABLE, error=f"no answer within {bound}", started=False)
        except asyncio.CancelledError:
            # Ours when `stop` has cancelled the call; the task's own cancellation goes on.
            own = asyncio.current_task()
            if not call.cancelled() or (own is not None and own.cancelling()):
                raise
            return self._with_output(Ending.CANCELLED)
        finally:
            side = [*self._stopping, *([self._feeding] if self._feeding else [])]
            for task in side:
                task.cancel()
            await asyncio.gather(*side, return_exceptions=True)

    async def _converse(self, call: AgentCall) -> Outcome:
        async with asyncio.timeout(self._command.connect_timeout_s):
            # An agent that refuses may end the call before it has all of this; the status below says why.
            with contextlib.suppress(CallEnded):
                await call.write(self._start)
            event = await call.read()
        async with asyncio.timeout(self._command.timeout_s + DEADLINE_GRACE_S if self._command.timeout_s else None):
            while event:
                kind = event.WhichOneof("event")
                if kind == "started":
                    self._begun(call)
                elif kind == "exited":
                    self._started = self._started or event.exited.pid != 0
                    return self._outcome(event.exited)
                else:
                    self._started = True
                    self._take(event.stdout or event.stderr, is_stderr=kind == "stderr")
                event = await call.read()
            # The stream ended without the last event: the status says why.
            code, details = await call.status()
        return self._failed(code, details or "the agent ended the call without saying how the command ended")

    def _begun(self, call: AgentCall) -> None:
        self._started = True
        if self._command.stdin is not None:
            self._feeding = asyncio.ensure_future(self._feed(call, self._command.stdin))

    def _take(self, data: bytes, *, is_stderr: bool) -> None:
        if not self._listener.output(self._node.name, data, is_stderr=is_stderr):
            (self._stderr if is_stderr else self._stdout).append(data)

    async def _feed(self, call: AgentCall, spool: Spool) -> None:
        # The process may end, and the call with it, before it has read everything: that is its right.
        with contextlib.suppress(CallEnded):
            try:
                async for chunk in spool.chunks():
                    await call.write(agent_pb2.ExecRequest(stdin=chunk))
            except OSError as error:
                self._listener.note(f"{self._node.name} got only a part of the input: {error}")
            await call.write(agent_pb2.ExecRequest(stdin_eof=True))

    async def _signal(self, call: AgentCall, number: int) -> None:
        with contextlib.suppress(CallEnded):
            await call.write(agent_pb2.ExecRequest(signal=number))

    def _failed(self, code: grpc.StatusCode, details: str) -> Outcome:
        if code is grpc.StatusCode.CANCELLED:
            return self._with_output(Ending.CANCELLED)
        ending, error = failure.classify(code, details, started=self._started)
        return self._with_output(ending, error=error)

    def _outcome(self, end: agent_pb2.Exit) -> Outcome:
        ending = _ENDINGS.get(end.ending, Ending.ERROR)
        return self._with_output(ending, error=end.error)._replace(
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
