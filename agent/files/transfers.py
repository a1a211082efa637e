"""Put and Get: files onto the node and back, chunked, checked, resumed."""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import grpc

from agent.access.refusal import Context, refuse
from agent.access.rules import current_principal
from agent.audit import lines as audit_lines
from agent.files.found import Found, find
from agent.files.stored import Incoming, NoRoom, Store, WrongDigest
from agent.files.territory import PathRefused, Territory
from agent.node import Node
from agent.proto import agent_pb2 as pb

CHUNK_BYTES = 1024 * 1024
# Below this a thread costs more than the work it takes over.
_INLINE_BYTES = 32 * 1024

T = TypeVar("T")


class Files:
    """Serves Put and Get of one agent."""

    def __init__(self, node: Node) -> None:
        config = node.config
        own = {config.tls_key.parent, config.tls_cert.parent, config.client_ca.parent}
        own |= {config.run_dir, config.audit_folder}
        own |= {path.parent for path in (config.token_file, config.manifest) if path is not None}
        self._node = node
        self._territory = Territory(config.work_dir, sorted(own))
        self._store = Store(config.work_dir / ".cas", self._territory)

    async def put(
        self, request_iterator: AsyncIterator[pb.PutRequest], context: Context
    ) -> AsyncGenerator[pb.PutReply, None]:
        """Store one file; see the proto."""
        requests = aiter(request_iterator)
        first = await anext(requests, None)
        if first is None or first.WhichOneof("request") != "begin":
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "the first request of Put must be begin")
        begin = first.begin
        with self._node.activity.session():
            try:
                home = self._home()
                incoming = self._store.begin(home, begin.path, begin.sha256, begin.size_bytes, begin.mode)
                try:
                    await in_thread(incoming.prepare)
                    yield pb.PutReply(have_bytes=incoming.have_bytes)
                    await self._receive(requests, incoming, context)
                    await _blocking(begin.size_bytes, incoming.finish)
                finally:
                    incoming.close()
            except (PathRefused, NoRoom, WrongDigest, OSError) as fault:
                self._note("put", begin.path, bytes=begin.size_bytes, sha256=begin.sha256[:64], fault=str(fault))
                await _refuse_fault(context, fault)
            self._note("put", begin.path, bytes=begin.size_bytes, sha256=begin.sha256)
            yield pb.PutReply(have_bytes=begin.size_bytes, stored=True)

    def _note(self, event: str, path: str, **fields: object) -> None:
        principal = current_principal.get().name
        self._node.audit.note("file", event=event, principal=principal, path=audit_lines.text(path), **fields)

    def _home(self) -> Path:
        """The caller's work folder, made when absent; only what leads to it is resolved, never itself."""
        return self._territory.work_dir / self._node.home_of(current_principal.get().name).name

    async def _receive(self, requests: AsyncIterator[pb.PutRequest], incoming: Incoming, context: Context) -> None:
        """Write each chunk in a thread while the next one arrives."""
        writing: asyncio.Task[None] | None = None
        ended = False
        try:
            async for request in requests:
                if writing is not None:
                    await writing
                    writing = None
                if request.WhichOneof("request") == "end":
                    ended = True
                    break
                data = request.data
                self._node.metrics.bytes_in.inc(len(data))
                if len(data) <= _INLINE_BYTES:
                    incoming.write(data)
                else:
                    writing = asyncio.create_task(in_thread(incoming.write, data))
        finally:
            if writing is not None:
                await writing
        if not ended:
            await refuse(context, grpc.StatusCode.CANCELLED, "the client left before the end of the file")

    async def get(self, request: pb.GetRequest, context: Context) -> AsyncGenerator[pb.GetReply, None]:
        """Read files that match; see the proto."""
        with self._node.activity.session():
            try:
                home = self._home()
                base = os.fsdecode(request.base)
                matches = find(self._territory, home, base, list(request.globs))
                try:
                    while (found := await in_thread(next, matches, None)) is not None:
                        async with contextlib.aclosing(self._send(found)) as replies:
                            async for reply in replies:
                                yield reply
                finally:
                    matches.close()
            except (PathRefused, OSError) as fault:
                for glob in request.globs:
                    self._note("get", glob, fault=str(fault))
                await _refuse_fault(context, fault)

    async def _send(self, found: Found) -> AsyncGenerator[pb.GetReply, None]:
        try:
            yield pb.GetReply(
                header=pb.GetReply.Header(
                    path=found.path,
                    size_bytes=found.size_bytes,
                    mode=found.mode,
                    is_directory=found.is_directory,
                )
            )
            if found.is_directory or found.error:
                if found.error:
                    self._note("get", found.path, fault=found.error)
                yield pb.GetReply(trailer=pb.GetReply.Trailer(error=found.error))
                return
            digest = hashlib.sha256()
            left = found.size_bytes
            while left:
                data = await _blocking(left, os.read, found.descriptor, min(left, CHUNK_BYTES))
                if not data:
                    break
                left -= len(data)
                await _blocking(len(data), digest.update, data)
                self._node.metrics.bytes_out.inc(len(data))
                yield pb.GetReply(data=data)
            error = "became shorter while it was read" if left else ""
            yield pb.GetReply(trailer=pb.GetReply.Trailer(sha256=digest.hexdigest(), error=error))
            fault = {"fault": error} if error else {}
            self._note("get", found.path, bytes=found.size_bytes - left, sha256=digest.hexdigest(), **fault)
        finally:
            if found.descriptor >= 0:
                os.close(found.descriptor)


async def _blocking(size_bytes: int, work: Callable[..., T], *args: object) -> T:
    if size_bytes <= _INLINE_BYTES:
        return work(*args)
    return await in_thread(work, *args)


async def in_thread(work: Callable[..., T], *args: object) -> T:
    """Run in a thread and, when cancelled, wait for its end: what it uses must not be closed under it."""
    future = asyncio.ensure_future(asyncio.to_thread(work, *args))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait({future})
        raise


async def _refuse_fault(context: Context, fault: Exception) -> NoReturn:
    status = grpc.StatusCode.FAILED_PRECONDITION
    message = str(fault)
    if isinstance(fault, PathRefused):
        status = grpc.StatusCode.INVALID_ARGUMENT
    elif isinstance(fault, NoRoom):
        status = grpc.StatusCode.RESOURCE_EXHAUSTED
    elif isinstance(fault, WrongDigest):
        status = grpc.StatusCode.DATA_LOSS
    elif isinstance(fault, OSError):
        if isinstance(fault, FileNotFoundError):
            status = grpc.StatusCode.NOT_FOUND
        message = f"{fault.filename or 'the work folder'}: {fault.strerror}"
    await refuse(context, status, message)
