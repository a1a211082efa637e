"""Find what left an item's process group but not its session: `timeout`, job control of a shell."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path


def all_stats() -> Iterator[tuple[int, list[bytes]]]:
    """Yield (pid, fields of stat from the state on) of every process, the fourth being its session."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            fields = stat_fields(int(entry.name))
            if fields:
                yield int(entry.name), fields


def session_members(session: int) -> list[int]:
    """Return the pids of all processes of a session."""
    return [pid for pid, fields in all_stats() if int(fields[3]) == session]


def stat_fields(pid: int) -> list[bytes]:
    """Return /proc/PID/stat from the state on; empty when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return []
    # The name is in parentheses and may contain anything, also parentheses.
    return text[text.rindex(b")") + 2 :].split()


def kill_session(session: int) -> None:
    """KILL every process of a session."""
    for pid in session_members(session):
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
