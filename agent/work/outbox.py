"""A run's results on their way to the controller: held until acknowledged, sent in batches, long ones in chunks."""

import collections
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from agent.proto import agent_pb2 as pb
from agent.work.held import HeldResults
from agent.work.run_folders import RunFolders, has_files

_log = logging.getLogger("gaxx.work")

BATCH = 512
BATCH_BYTES = 4 * 1024 * 1024
"""Of results in one message."""
CHUNK_BYTES = 256 * 1024


class Outbox:
    """What one run has for its controller. Begins with what an earlier agent left in `folder`; raises OSError there."""

    def __init__(self, run_id: str, folders: RunFolders, folder: Path) -> None:
        self._run_id = run_id
        self._folders = folders
        self._held = HeldResults(folder)
        self._waiting: collections.deque[pb.ItemResult | int] = collections.deque()
        kept = (pb.ItemResult.FromString(self._held.read(ident)) for ident in self._held.ids)
        self._on_disk = {result.result_id for result in kept if has_files(result)}

    def __len__(self) -> int:
        """How many results wait for acknowledgement."""
        return len(self._held)

    def take_id(self) -> int:
        """Return an id for the next result."""
        return self._held.take_id()

    def add(self, results: Sequence[pb.ItemResult]) -> None:
        """Hold results, to be sent next."""
        try:
            self._held.append([(result.result_id, result.SerializeToString()) for result in results])
        except OSError as fault:
            # It can still be delivered; if the stream breaks first, the item will be leased again.
            _log.error("a result cannot be held: %s", fault.strerror, extra={"event": "hold", "run": self._run_id})
        self._on_disk.update(result.result_id for result in results if has_files(result))
        self._waiting.extend(results)

    def begin_again(self) -> None:
        """Send everything that is not acknowledged, whether or not it was sent before."""
        self._waiting = collections.deque(self._held.ids)

    def take(self) -> list[pb.ItemResult]:
        """Return the next results to be sent, oldest first: as many as one message should have."""
        batch: list[pb.ItemResult] = []
        size = 0
        while self._waiting and len(batch) < BATCH and size < BATCH_BYTES:
            entry = self._waiting.popleft()
            if isinstance(entry, pb.ItemResult):
                batch.append(entry)
            elif entry in self._held:
                batch.append(pb.ItemResult.FromString(self._held.read(entry)))
            else:
                continue
            size += batch[-1].ByteSize()
        return batch

    def acknowledge(self, result_ids: Sequence[int]) -> None:
        """The controller has these: forget them, and what lies on disk for them."""
        for result_id in self._on_disk.intersection(result_ids):
            self._folders.drop(pb.ItemResult.FromString(self._held.read(result_id)))
            self._on_disk.discard(result_id)
        self._held.forget(result_ids)

    def fetch(self, request: pb.WorkRequest.FetchOutput) -> pb.WorkEvent:
        """Return one chunk of an output or file that was too large for its result."""
        chunk = pb.WorkEvent.Chunk(result_id=request.result_id, name=request.name, offset=request.offset)
        try:
            path = self._folders.fetched(pb.ItemResult.FromString(self._held.read(request.result_id)), request.name)
            with path.open("rb") as file:
                file.seek(request.offset)
                chunk.data = file.read(CHUNK_BYTES)
                chunk.last = file.tell() >= os.fstat(file.fileno()).st_size
        except KeyError:
            chunk.error = "the node has no such result"
        except OSError as fault:
            chunk.error = f"{fault.filename}: {fault.strerror}"
        return pb.WorkEvent(chunk=chunk)

    def sync(self) -> None:
        """Have the held results on disk; may be called from another thread. Raises OSError."""
        self._held.sync()

    def close(self) -> None:
        """Leave what is held on disk for the next agent."""
        if self._held:
            self._held.close()
        else:
            self._held.remove()

    def remove(self) -> None:
        """Drop everything."""
        self._held.remove()
