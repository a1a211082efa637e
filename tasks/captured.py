"""One short command on one node through its agent, its output kept: what a verb of ours needs to know of a node."""

import asyncio
import collections.abc
import contextlib
import dataclasses

import grpc

from agent.call import AgentCall, CallEnded
from agent.client import AgentChannel
from agent.proto import agent_pb2

_PIECE_BYTES = 1 << 16


class CallFailedError(Exception):
    """The call ended with this status and without the command's end."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code, self.details = code, details


@dataclasses.dataclass(frozen=True, slots=True)
class Captured:
    """What a command said, and how it ended."""

    stdout: bytes
    stderr: bytes
    exit_code: int | None
    """None where it did not end by itself."""
    fault: str
    """Why there is no exit code, or not all of the output; "" when all is there."""


async def captured(
    agent: AgentChannel,
    argv: collections.abc.Sequence[str],
    *,
    purpose: str,
    limit_bytes: int,
    stdin: bytes | None = None,
    timeout_s: float = 0,
) -> Captured:
    """Execute to the end, in the plainest locale. `purpose` is the run that the node's records name.

    Raises CallFailedError.
    """
    command = agent_pb2.Command(
        argv=[word.encode() for word in argv],
        env={"LC_ALL": b"C"},
        has_stdin=stdin is not None,
        stdout_limit_bytes=limit_bytes,
        deadline_s=timeout_s,
    )
    call = AgentCall(agent.stub.Exec(metadata=agent.metadata))
    feeding = asyncio.ensure_future(_feed(call, command, purpose, stdin))
    parts: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    try:
        while event := await call.read():
            kind = event.WhichOneof("event")
            if kind in parts:
                parts[kind].append(getattr(event, kind))
            elif kind == "exited":
                return _ended(event.exited, b"".join(parts["stdout"]), b"".join(parts["stderr"]))
        raise CallFailedError(*await call.status())
    finally:
        call.cancel()
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


def _ended(end: agent_pb2.Exit, stdout: bytes, stderr: bytes) -> Captured:
    if end.ending != agent_pb2.EXITED:
        return Captured(stdout, stderr, None, end.error or agent_pb2.Ending.Name(end.ending).lower().replace("_", " "))
    return Captured(stdout, stderr, end.exit_code, "it says more than can be kept" if end.stdout_cut else "")


async def _feed(call: AgentCall, command: agent_pb2.Command, purpose: str, stdin: bytes | None) -> None:
    # The command may end before it has read everything: its exit code, or the call's status, says why.
    with contextlib.suppress(CallEnded):
        start = agent_pb2.ExecRequest.Start(command=command, run_id=purpose)
        await call.write(agent_pb2.ExecRequest(start=start))
        if stdin is not None:
            for at in range(0, len(stdin), _PIECE_BYTES):
                await call.write(agent_pb2.ExecRequest(stdin=stdin[at : at + _PIECE_BYTES]))
            await call.write(agent_pb2.ExecRequest(stdin_eof=True))
