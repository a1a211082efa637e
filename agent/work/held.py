"""Results that wait on the node until the controller has acknowledged them, across streams and restarts.

Segments of length-prefixed ItemResults, each with a list of what of it was acknowledged; a segment goes when all of
it was. What is in memory of a result is where it lies.
"""

import os
import shutil
import struct
import typing
from collections.abc import Iterable
from pathlib import Path

from google.protobuf.message import DecodeError

from agent.proto.agent_pb2 import ItemResult

SEGMENT_BYTES = 8 * 1024 * 1024
_LENGTH = struct.Struct("<I")
_ID = struct.Struct("<Q")


class _Place(typing.NamedTuple):
    segment: int
    offset: int
    length: int


def count_held(folder: Path) -> int:
    """Count the unacknowledged results in a folder, which stays as it is: its age is how long nobody has asked.

    Raises OSError, and ValueError for what is none of our files.
    """
    return sum(
        result_id not in done
        for path in folder.glob("*.results")
        for done in [_acknowledged(path)]
        for _, result_id in _scan(path, int(path.stem), mends=False)
    )


class HeldResults:
    """The unacknowledged results of one run in one folder, which is made when absent. Raises OSError throughout."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[int, _Place] = {}
        self._outstanding: dict[int, int] = {}
        self._next_id = 1
        self._segment = 0
        self._data = -1
        self._acks = -1
        self._size = 0
        self._dirty = False
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._recover()
        self._open(self._segment)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, result_id: int) -> bool:
        return result_id in self._places

    @property
    def ids(self) -> list[int]:
        """The unacknowledged results, oldest first."""
        return sorted(self._places)

    def take_id(self) -> int:
        """Return an id for the next result."""
        taken = self._next_id
        self._next_id += 1
        return taken

    def append(self, results: Iterable[tuple[int, bytes]]) -> None:
        """Keep serialized results under the ids that they carry."""
        if self._size > SEGMENT_BYTES:
            self._open(self._segment + 1)
        parts: list[bytes] = []
        offset = self._size
        for result_id, data in results:
            parts += (_LENGTH.pack(len(data)), data)
            self._places[result_id] = _Place(self._segment, offset + _LENGTH.size, len(data))
            offset += _LENGTH.size + len(data)
            self._outstanding[self._segment] = self._outstanding.get(self._segment, 0) + 1
        _write(self._data, b"".join(parts))
        self._size = offset
        self._dirty = True

    def read(self, result_id: int) -> bytes:
        """Return a serialized result; raise KeyError when it was acknowledged."""
        place = self._places[result_id]
        if place.segment == self._segment:
            return os.pread(self._data, place.length, place.offset)
        with self._path(place.segment, "results").open("rb") as file:
            file.seek(place.offset)
            return file.read(place.length)

    def forget(self, result_ids: Iterable[int]) -> None:
        """Drop results that the controller has; ids that are unknown are of no consequence."""
        by_segment: dict[int, list[int]] = {}
        for result_id in result_ids:
            place = self._places.pop(result_id, None)
            if place is not None:
                by_segment.setdefault(place.segment, []).append(result_id)
        for segment, ids in by_segment.items():
            self._outstanding[segment] -= len(ids)
            if not self._outstanding[segment] and segment != self._segment:
                self._remove(segment)
                continue
            data = b"".join(map(_ID.pack, ids))
            if segment == self._segment:
                _write(self._acks, data)
            else:
                with self._path(segment, "acks").open("ab") as file:
                    file.write(data)

    def sync(self) -> None:
        """Have it on disk. May be called from another thread."""
        if self._dirty:
            self._dirty = False
            os.fdatasync(self._data)

    def close(self) -> None:
        """Close the files; what is held stays."""
        for descriptor in (self._data, self._acks):
            if descriptor >= 0:
                os.close(descriptor)
        self._data = self._acks = -1

    def remove(self) -> None:
        """Close, and drop everything."""
        self.close()
        self._places.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, segment: int, kind: str) -> Path:
        return self._folder / f"{segment:06}.{kind}"

    def _open(self, segment: int) -> None:
        self.sync()
        self.close()
        if segment != self._segment and not self._outstanding.get(self._segment):
            self._remove(self._segment)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._data = os.open(self._path(segment, "results"), flags, 0o600)
        self._acks = os.open(self._path(segment, "acks"), flags, 0o600)
        self._segment = segment
        self._size = os.fstat(self._data).st_size

    def _remove(self, segment: int) -> None:
        self._outstanding.pop(segment, None)
        self._path(segment, "results").unlink(missing_ok=True)
        self._path(segment, "acks").unlink(missing_ok=True)

    def _recover(self) -> None:
        """Find what an earlier agent kept; a torn end (power loss) is what the controller will lease again."""
        for path in sorted(self._folder.glob("*.results")):
            segment = int(path.stem)
            done = _acknowledged(path)
            for place, result_id in _scan(path, segment, mends=True):
                self._next_id = max(self._next_id, result_id + 1)
                if result_id not in done:
                    self._places[result_id] = place
                    self._outstanding[segment] = self._outstanding.get(segment, 0) + 1
            if not self._outstanding.get(segment):
                self._remove(segment)
            self._segment = segment


def _acknowledged(results: Path) -> set[int]:
    acks = results.with_suffix(".acks")
    raw = acks.read_bytes() if acks.exists() else b""
    return {_ID.unpack_from(raw, at)[0] for at in range(0, len(raw) - _ID.size + 1, _ID.size)}


def _scan(path: Path, segment: int, *, mends: bool) -> Iterable[tuple[_Place, int]]:
    size = path.stat().st_size
    with path.open("r+b" if mends else "rb") as file:
        offset = 0
        while offset + _LENGTH.size <= size:
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            data = file.read(length)
            try:
                result_id = ItemResult.FromString(data).result_id if len(data) == length else 0
            except DecodeError:
                result_id = 0
            if not result_id:
                break
            yield _Place(segment, offset + _LENGTH.size, length), result_id
            offset += _LENGTH.size + length
        if mends:
            file.truncate(offset)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
