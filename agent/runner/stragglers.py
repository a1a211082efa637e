"""Find what left an item's process group but not its session: `timeout`, job control of a shell."""

import os
import signal
from pathlib import Path


def session_members(session: int) -> list[int]:
    """Return the pids of all processes of a session."""
    members = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        fields = stat_fields(int(entry.name))
        # Fields after the name: state, parent, group, session.
        if fields and int(fields[3]) == session:
            members.append(int(entry.name))
    return members


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
