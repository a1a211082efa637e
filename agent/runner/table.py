"""The pids of what runs, in a shared file that survives the runner: whoever comes next can sweep up.

A runner that is killed cannot kill its items, and a death signal that the kernel would send to them
costs an extra exec for each. Writing a pid into a mapped page costs nothing.
"""

import contextlib
import mmap
import os
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from agent.runner.stragglers import all_stats

_HEADER = struct.Struct("<8sI4xd36s")
_ENTRY = struct.Struct("<IId")
_MAGIC = b"gaxxrun1"
_FIRST = 64
_ENTRIES = 4096
_SUFFIX = ".items"
# The kernel counts start times in ticks of 10 ms, and a busy machine takes a while to start a process.
_TOLERANCE_S = 2.0


class Table:
    """What one runner executes now; at most 4096 entries, more go unrecorded."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"runner-{os.getpid()}{_SUFFIX}"
        size = _FIRST + _ENTRIES * _ENTRY.size
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.ftruncate(descriptor, size)
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        _HEADER.pack_into(self._map, 0, _MAGIC, os.getpid(), _boot_clock_s(), _boot_id())
        self._free = list(range(size - _ENTRY.size, _FIRST - 1, -_ENTRY.size))
        self._used: dict[int, int] = {}

    def add(self, pid: int, *, detached: bool) -> None:
        """Record a process group that has just been started."""
        if self._free:
            at = self._used[pid] = self._free.pop()
            _ENTRY.pack_into(self._map, at, pid, detached, _boot_clock_s())

    def remove(self, pid: int) -> None:
        """Forget a group whose leader has been reaped."""
        at = self._used.pop(pid, None)
        if at is not None:
            _ENTRY.pack_into(self._map, at, 0, 0, 0.0)
            self._free.append(at)

    def close(self) -> None:
        """Remove the file: everything has ended."""
        self._map.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


def sweep(folder: Path, *, detached_too: bool = False) -> int:
    """KILL what dead runners with a table in `folder` left behind; return how many processes that were.

    Detached items are spared unless `detached_too`. Tables with nothing alive are removed.
    """
    killed = 0
    for path in folder.glob(f"runner-*{_SUFFIX}"):
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if len(data) < _FIRST:
            continue
        magic, runner, _, boot = _HEADER.unpack_from(data)
        if magic != _MAGIC or boot != _boot_id():
            path.unlink(missing_ok=True)
        elif runner == os.getpid() or not _is_runner(runner, path):
            members = list(_alive(data))
            doomed = [pid for pid, detached in members if detached_too or not detached]
            for pid in doomed:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
            if len(doomed) == len(members):
                path.unlink(missing_ok=True)
    return killed


def _alive(data: bytes) -> Iterator[tuple[int, bool]]:
    """Yield (pid, detached) of every process that belongs to an entry's session."""
    sessions: dict[int, tuple[bool, float]] = {}
    for at in range(_FIRST, len(data) - _ENTRY.size + 1, _ENTRY.size):
        pid, detached, began_s = _ENTRY.unpack_from(data, at)
        if pid:
            sessions[pid] = (bool(detached), began_s)
    if not sessions:
        return
    stats = dict(all_stats())
    for pid, fields in stats.items():
        session = int(fields[3])
        if session not in sessions or fields[0] == b"Z":
            continue
        detached, began_s = sessions[session]
        leader = stats.get(session)
        # The number may have been given to somebody else since.
        if leader is not None and abs(_start_s(leader) - began_s) > _TOLERANCE_S:
            continue
        if _start_s(fields) >= began_s - _TOLERANCE_S:
            yield pid, detached


def _is_runner(pid: int, table: Path) -> bool:
    """Whether the process that made the table still lives: it alone has the file mapped."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    return str(table.resolve()) in maps


def _start_s(fields: list[bytes]) -> float:
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _boot_clock_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _boot_id() -> bytes:
    return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
