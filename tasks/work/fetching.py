"""Outputs and files that are too large for a result: brought from the node in chunks, while the run goes on."""

import asyncio
import collections
import collections.abc
import contextlib
import hashlib
import pathlib

from agent.proto import agent_pb2 as pb
from tasks.work.commit import Returned
from tasks.work.lane import Lane
from tasks.work.node_stream import NodeStream
from tasks.work.results import ResultStore, ReturnedFileError

FETCHED_AHEAD = 8
"""Chunks of one output or file that are asked for before the first of them is there."""


class Fetches:
    """What is being brought: `settle` takes each result once it is whole, `then` is called when one has ended."""

    def __init__(
        self,
        store: ResultStore,
        limit_bytes: int,
        settle: collections.abc.Callable[[Lane, Returned], None],
        then: collections.abc.Callable[[Lane], None],
    ) -> None:
        self._store = store
        self._limit_bytes = limit_bytes
        self._settle = settle
        self._then = then
        self._tasks: set[asyncio.Task[None]] = set()

    def __bool__(self) -> bool:
        """Whether anything is on its way."""
        return bool(self._tasks)

    def begin(self, lane: Lane, result: pb.ItemResult) -> None:
        """Bring what a result lacks."""
        lane.fetching.add(result.index)
        task = asyncio.create_task(self._fetch(lane, result))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        """Bring nothing more."""
        for task in self._tasks:
            task.cancel()

    async def _fetch(self, lane: Lane, result: pb.ItemResult) -> None:
        # When the node goes away meanwhile, it still holds the result and says so when it is back.
        try:
            with contextlib.suppress(ConnectionError):
                self._settle(lane, await fetch(lane.stream, result, self._store, self._limit_bytes))
        finally:
            lane.fetching.discard(result.index)
        self._then(lane)


async def fetch(stream: NodeStream, result: pb.ItemResult, store: ResultStore, limit_bytes: int) -> Returned:
    """Bring what was too large for its result; raise ConnectionError when the node goes away meanwhile."""
    returned = Returned(stream, result)
    name = f"{result.index}.{result.attempt}"
    exit_ = result.exit
    try:
        for output, inline, size in (
            (b"stdout", result.stdout, exit_.stdout_bytes),
            (b"stderr", result.stderr, exit_.stderr_bytes),
        ):
            if result.output_held and size > len(inline):
                where = f"{name}.{output.decode()}"
                await _bring(stream, result.result_id, output, store.large(where), limit_bytes=limit_bytes)
                returned.fetched[output] = where
        for position, file in enumerate(result.files):
            store.target(result.index, file.path)
            if file.is_inline:
                sha256 = hashlib.sha256(file.inline_data).hexdigest()
            else:
                part = store.large(f"{name}.{result.lease}.{position}.part")
                returned.parts[file.path] = part
                sha256 = await _bring(stream, result.result_id, b"file:" + file.path, part)
            if sha256 != file.sha256:
                returned.files_error = f"{file.path!r}: what arrived is not what the node sent"
    except (_NodeSide, ReturnedFileError) as error:
        returned.files_error = str(error)
    return returned


class _NodeSide(Exception):  # noqa: N818 - never leaves this module
    """The node cannot give what it said it held."""


async def _bring(stream: NodeStream, result_id: int, name: bytes, path: pathlib.Path, *, limit_bytes: int = 0) -> str:
    """Write one output or file to `path`, at most `limit_bytes` of it (0: all), and return its sha256."""
    sha256 = hashlib.sha256()
    written = 0
    with path.open("wb") as file:
        async with contextlib.aclosing(_chunks(stream, result_id, name)) as chunks:
            async for chunk in chunks:
                data = chunk.data[: limit_bytes - written] if limit_bytes else chunk.data
                sha256.update(data)
                file.write(data)
                written += len(data)
                if limit_bytes and written >= limit_bytes:
                    break
    return sha256.hexdigest()


async def _chunks(
    stream: NodeStream, result_id: int, name: bytes
) -> collections.abc.AsyncGenerator[pb.WorkEvent.Chunk, None]:
    """Yield the chunks in order, several asked for at a time: a far node answers late, but all at once."""
    chunk = await stream.fetch(result_id, name, 0)
    size = len(chunk.data)
    ahead: collections.deque[asyncio.Task[pb.WorkEvent.Chunk]] = collections.deque()
    offset = size
    try:
        while True:
            if chunk.error:
                raise _NodeSide(chunk.error)
            yield chunk
            if chunk.last:
                return
            while len(ahead) < FETCHED_AHEAD:
                ahead.append(asyncio.create_task(stream.fetch(result_id, name, offset)))
                offset += size
            chunk = await ahead.popleft()
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)
