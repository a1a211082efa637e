"""Waiting for an event in a test, where there is nothing to wait on but a condition."""

import pathlib
import time
from collections.abc import Callable

INTERVAL_S = 0.01


def until(condition: Callable[[], object], *, deadline_s: float = 20.0) -> None:
    """Return as soon as `condition()` is true; fail the test when it is not within `deadline_s`."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s} s: {condition}"
        time.sleep(INTERVAL_S)


def alive(pid: int) -> bool:
    """Whether a process exists and is not just waiting to be reaped."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}
