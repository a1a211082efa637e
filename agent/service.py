"""The calls of gaxx.agent.v1 except Work: protobuf in, the node's parts asked, protobuf out."""

import asyncio
import contextlib
import logging
import os
import platform
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

import grpc
import grpc.aio

from agent.access.refusal import Context, refuse
from agent.access.rules import current_principal
from agent.audit import lines as audit_lines
from agent.ending import end
from agent.files.transfers import Files, in_thread
from agent.metrics import disk_bytes, memory_bytes
from agent.node import Node
from agent.proto import agent_pb2 as pb
from agent.proto.agent_pb2_grpc import AgentServicer
from agent.proto.runner_pb2 import Began, Finished, Output
from agent.runner_client import RunnerUnavailable
from agent.runner_stream import Stream

_log = logging.getLogger("gaxx.agent")

MAX_SESSIONS = 512
"""Exec calls at once; one more is RESOURCE_EXHAUSTED."""

__all__ = ["AgentService", "Context", "WorkHandler"]

QUIET_S = 0.1
SWALLOW_S = 5.0
"""After the end of a process its client may go on sending stdin for so long; then the call ends."""


WorkHandler = Callable[[AsyncIterator[pb.WorkRequest], Context], AsyncGenerator[pb.WorkEvent, None]]
"""What serves the Work call; its streams are cancelled when the agent stops."""


class AgentService(AgentServicer):
    """What an admitted caller gets. Roles were checked before any of this runs."""

    def __init__(self, node: Node, work: WorkHandler) -> None:
        self._node = node
        self._work = work
        self._files = Files(node)

    async def Exec(
        self, request_iterator: AsyncIterator[pb.ExecRequest], context: Context
    ) -> AsyncGenerator[pb.ExecEvent, None]:
        """Execute one command; see the proto."""
        requests = aiter(request_iterator)
        first = await anext(requests, None)
        if first is None or first.WhichOneof("request") != "start":
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "the first request of Exec must be start")
        start = first.start
        if not start.command.argv:
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "the command has no argv")
        await self._refuse_when_full(context)
        with self._node.activity.session():
            try:
                home = self._node.home_of(current_principal.get().name)
                stream = await self._node.runner.spawn_stream(
                    start.command, detached=start.detached, work_dir=os.fsencode(home)
                )
            except RunnerUnavailable as fault:
                await refuse(context, grpc.StatusCode.UNAVAILABLE, str(fault))
            except OSError as fault:
                await refuse(context, grpc.StatusCode.FAILED_PRECONDITION, f"no work folder: {fault.strerror}")
            began_s = time.monotonic()
            self._note_command("start", start, detached=start.detached, **audit_lines.command(start.command.argv))
            pump = _Pump(requests, stream)
            try:
                async for event in stream:
                    try:
                        yield _exec_event(event)
                    finally:
                        if isinstance(event, Finished):
                            # Not before: the answer need not wait for what is written about it.
                            self._note_end(event.exit, start)
                if start.command.has_stdin:
                    await pump.quiet()
            finally:
                await pump.stop()
                if not stream.is_finished:
                    # The client went away.
                    stream.abandon(kills=not start.detached)
                    program = audit_lines.program(start.command.argv)
                    self._note_command("left", start, program=program, killed=not start.detached)
                    if not start.detached:
                        self._node.metrics.executed(pb.CANCELLED, time.monotonic() - began_s, item=False)

    async def Work(
        self, request_iterator: AsyncIterator[pb.WorkRequest], context: Context
    ) -> AsyncGenerator[pb.WorkEvent, None]:
        """Execute leased items; handed on."""
        async with contextlib.aclosing(self._work(request_iterator, context)) as events:
            async for event in events:
                yield event

    async def Put(
        self, request_iterator: AsyncIterator[pb.PutRequest], context: Context
    ) -> AsyncGenerator[pb.PutReply, None]:
        """Store one file; handed on."""
        async with contextlib.aclosing(self._files.put(request_iterator, context)) as replies:
            async for reply in replies:
                yield reply

    async def Get(self, request: pb.GetRequest, context: Context) -> AsyncGenerator[pb.GetReply, None]:
        """Read files; handed on."""
        async with contextlib.aclosing(self._files.get(request, context)) as replies:
            async for reply in replies:
                yield reply

    async def Info(self, _request: pb.InfoRequest, _context: Context) -> pb.NodeInfo:
        """Say what the node is and does."""
        node = self._node
        activity, manifest = node.activity, node.manifest
        memory_total, memory_available = memory_bytes()
        disk_total, disk_free = disk_bytes(node)
        return pb.NodeInfo(
            node=manifest.node,
            agent_build=node.config.build,
            python=platform.python_version(),
            architecture=platform.machine(),
            uptime_s=activity.uptime_s,
            slots=node.runner.slots,
            running_items=activity.running_items + activity.sessions,
            queued_items=activity.queued_items,
            items_done=activity.items_done,
            draining=activity.draining,
            runner_alive=node.runner.is_alive,
            load_1m=os.getloadavg()[0],
            memory_total_bytes=memory_total,
            memory_available_bytes=memory_available,
            disk_total_bytes=disk_total,
            disk_free_bytes=disk_free,
            manifest_serial=manifest.serial,
            expires_unix_s=manifest.expires_unix_s,
            idle_s=activity.idle_s,
            why_not_idle=activity.why_not_idle,
            groups=manifest.groups,
            ssh_host_keys=_host_keys(node.config.ssh_host_key),
            machine=manifest.machine,
            idle_limit_s=node.idle_limit_s,
        )

    async def Logs(self, request: pb.LogsRequest, context: Context) -> AsyncGenerator[pb.LogLine, None]:
        """Show the last lines, and on `follow` the new ones."""
        source = request.source or "agent"
        if source not in self._node.memory.sources:
            known = ", ".join(self._node.memory.sources)
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, f"no log is called {source!r}; there are {known}")
        async for line in self._node.memory.read(source, request.tail, follow=request.follow):
            yield pb.LogLine(line=line.encode("utf-8", "surrogateescape"))

    async def Audit(self, request: pb.AuditRequest, context: Context) -> AsyncGenerator[pb.AuditReply, None]:
        """Show the audit trail from a line on; see the proto."""
        try:
            snapshot = await self._node.audit.snapshot(max(request.from_sequence, 1))
            try:
                parts = snapshot.parts()
                while (part := await in_thread(next, parts, None)) is not None:
                    lines = pb.AuditReply.Lines(file=part.file, line=part.line, data=part.data)
                    yield pb.AuditReply(lines=lines)
            finally:
                snapshot.close()
        except OSError as fault:
            message = f"the audit trail cannot be read: {fault.strerror or fault}"
            await refuse(context, grpc.StatusCode.FAILED_PRECONDITION, message)
        manifest = self._node.manifest
        head = pb.AuditReply.Head(
            sequence=snapshot.head.sequence,
            sha256=snapshot.head.sha256,
            oldest_sequence=snapshot.oldest,
            node=manifest.node,
            machine=manifest.machine,
        )
        yield pb.AuditReply(head=head)

    def _note_command(self, event: str, start: pb.ExecRequest.Start, **fields: object) -> None:
        principal = current_principal.get().name
        self._node.audit.note("command", event=event, run=start.run_id, principal=principal, **fields)

    async def _refuse_when_full(self, context: Context) -> None:
        if self._node.activity.draining:
            await refuse(context, grpc.StatusCode.UNAVAILABLE, "the node is draining and takes no new work")
        if self._node.activity.sessions >= MAX_SESSIONS:
            message = f"{MAX_SESSIONS} commands run on this node already"
            await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, message)

    def _note_end(self, exited: pb.Exit, start: pb.ExecRequest.Start) -> None:
        self._node.metrics.executed(exited.ending, exited.wall_s, item=False)
        self._note_command(
            "end",
            start,
            program=audit_lines.program(start.command.argv),
            ending=pb.Ending.Name(exited.ending).lower(),
            exit_code=exited.exit_code,
            signal=exited.signal,
            wall_s=round(exited.wall_s, 3),
        )
        _log.info(
            "command ended",
            extra={
                "event": "exec",
                "principal": current_principal.get().name,
                "run": start.run_id,
                "program": os.fsdecode(start.command.argv[0]).encode("utf-8", "backslashreplace").decode(),
                "ending": pb.Ending.Name(exited.ending).lower(),
                "exit_code": exited.exit_code,
                "wall_s": round(exited.wall_s, 3),
            },
        )


class _Pump:
    """Passes stdin and signals on until the client has no more of them."""

    def __init__(self, requests: AsyncIterator[pb.ExecRequest], stream: Stream) -> None:
        self._requests = requests
        self._stream = stream
        self._last_s = time.monotonic()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async for request in self._requests:
            self._last_s = time.monotonic()
            kind = request.WhichOneof("request")
            if kind == "stdin":
                await self._stream.write(request.stdin)
            elif kind == "stdin_eof":
                self._stream.write_eof()
            elif kind == "signal":
                self._stream.signal(request.signal)

    async def quiet(self) -> None:
        """Swallow what is on the way to a process that has ended.

        A client of grpc.aio whose write meets the end of the call reports an internal error of its own.
        """
        until_s = time.monotonic() + SWALLOW_S
        while not self._task.done() and time.monotonic() < min(until_s, self._last_s + QUIET_S):
            await asyncio.wait({self._task}, timeout=QUIET_S)

    async def stop(self) -> None:
        """Read no more."""
        await end(self._task)


def _exec_event(event: Began | Output | Finished) -> pb.ExecEvent:
    if isinstance(event, Output):
        return pb.ExecEvent(stderr=event.data) if event.is_stderr else pb.ExecEvent(stdout=event.data)
    if isinstance(event, Began):
        return pb.ExecEvent(started=pb.ExecEvent.Started(pid=event.pid))
    return pb.ExecEvent(exited=event.exit)


def _host_keys(path: Path | None) -> list[str]:
    """Return the node's public SSH host key without comment: who proves itself over TLS may say it."""
    if path is None or not path.is_file():
        return []
    return [" ".join(path.read_text().split()[:2])]
