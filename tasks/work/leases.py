"""Write leases: the items' bytes from the spool, their commands, what travels with them."""

import collections.abc
import os
import time

from agent.proto import agent_pb2 as pb
from tasks.work.items import READ_LIMIT_BYTES, Spool
from tasks.work.options import MapOptions
from tasks.work.queue import Grant
from tasks.work.results import ResultStore, ReturnedFileError

MESSAGE_BYTES = 2 * READ_LIMIT_BYTES
"""Of items in one message, unless a single one is longer."""
SENT_LIMIT_BYTES = 32 * 1024 * 1024
"""Of a file that travels with an item."""
AHEAD_BYTES = 16 * 1024 * 1024
"""Of items, and of what travels with them, at one node: bounds memory there, however long the items are."""


class LeaseWriter:
    """Makes the messages of one session's leases; `session` keeps their ids apart from those of earlier ones."""

    def __init__(self, options: MapOptions, spool: Spool, store: ResultStore, *, session: int) -> None:
        self._options = options
        self._spool = spool
        self._store = store
        self._template = options.template
        self._has_files = bool(options.returns or options.sends)
        self._lease_id = session << 32
        self._bytes = self._items = 1

    def at_most(self, slots: int) -> int:
        """How many items a node may hold because of their length, as it has been so far."""
        return max(slots, AHEAD_BYTES * self._items // self._bytes)

    def write(
        self,
        grants: list[Grant],
        deadline_s: float,
        read: collections.abc.Callable[[int, bytes], None],
        unsendable: collections.abc.Callable[[pb.ItemResult], None],
    ) -> collections.abc.Iterator[pb.WorkRequest]:
        """Yield the messages that lease the granted items.

        `read` is told each item's bytes; `unsendable` gets a result for an item whose files cannot be read.
        """
        self._lease_id += 1
        items: list[pb.Item] = []
        size = 0
        for grant, value in self._values(grants):
            read(grant.index, value)
            argv = self._template.command(value, grant.index)
            item = pb.Item(index=grant.index, attempt=grant.attempt, lease=self._lease_id, argv=argv, value=value)
            size += 2 * len(value) + 64
            if self._has_files:
                try:
                    size += self._add_files(item, value)
                except (OSError, ReturnedFileError) as error:
                    unsendable(_failed(item, str(error)))
                    continue
            items.append(item)
            if size > MESSAGE_BYTES:
                self._bytes += size
                yield _message(items, deadline_s)
                items, size = [], 0
        self._bytes += size
        self._items += len(grants)
        if items:
            yield _message(items, deadline_s)

    def _values(self, grants: list[Grant]) -> collections.abc.Iterator[tuple[Grant, bytes]]:
        """Read the items' bytes, neighbours together."""
        position = 0
        while position < len(grants):
            first = grants[position].index
            end = position + 1
            while end < len(grants) and grants[end].index == first + end - position:
                end += 1
            while position < end:
                for value in self._spool.read(grants[position].index, end - position):
                    yield grants[position], value
                    position += 1

    def _add_files(self, item: pb.Item, value: bytes) -> int:
        """Add what travels with the item and what is to come back; return how many bytes that is. Raise OSError."""
        item.return_globs.extend(self._options.own_returns(value, item.index))
        size = 0
        for path in self._options.own_sends(value, item.index):
            self._store.target(item.index, path)
            with open(path, "rb") as file:  # noqa: PTH123 - bytes
                data = file.read(SENT_LIMIT_BYTES + 1)
                mode = os.fstat(file.fileno()).st_mode & 0o777
            if len(data) > SENT_LIMIT_BYTES:
                message = f"{os.fsdecode(path)} is longer than {SENT_LIMIT_BYTES >> 20} MiB: `gaxx put` it to the nodes"
                raise ReturnedFileError(message)
            item.files.append(pb.SentFile(path=path, data=data, mode=mode))
            size += len(data)
        return size


def _failed(item: pb.Item, error: str) -> pb.ItemResult:
    exit_ = pb.Exit(ending=pb.SPAWN_FAILED, error=error)
    now_s = time.time()
    return pb.ItemResult(
        index=item.index, attempt=item.attempt, lease=item.lease, exit=exit_, start_unix_s=now_s, end_unix_s=now_s
    )


def _message(items: list[pb.Item], deadline_s: float) -> pb.WorkRequest:
    return pb.WorkRequest(lease=pb.WorkRequest.Lease(items=items, deadline_s=deadline_s))
