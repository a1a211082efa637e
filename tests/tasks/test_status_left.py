"""When a node ends by itself, as `gaxx status` says it beforehand."""

import datetime as dt

import pytest

from agent.proto import agent_pb2
from tasks.outcome import Ending
from tasks.status import COLUMNS, Status


def left(info: agent_pb2.NodeInfo, *, ttl_s: float = 0) -> str:
    """The cell of a node with that answer."""
    expires = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=ttl_s)).isoformat() if ttl_s else ""
    status = Status("web-1", info, "", Ending.EXITED, "SSH-2.0", "", 0.01, expires)
    return status.row[COLUMNS.index("ttl left")]


IDLE = agent_pb2.NodeInfo(runner_alive=True, idle_limit_s=2700, idle_s=900)
BUSY = agent_pb2.NodeInfo(runner_alive=True, idle_limit_s=2700, idle_s=0, why_not_idle="1 item running")
LOCAL = agent_pb2.NodeInfo(runner_alive=True, idle_s=900)


@pytest.mark.parametrize(
    ("info", "ttl_s", "expected"),
    [
        (IDLE, 7200.5, "30m00s (idle)"),
        (IDLE, 0, "30m00s (idle)"),
        (IDLE, 600.5, "10m00s"),
        (BUSY, 7200.5, "2h00m"),
        (BUSY, 0, "-"),
        (LOCAL, 7200.5, "2h00m"),
    ],
)
def test_the_nearer_of_two_ends_is_told(info: agent_pb2.NodeInfo, ttl_s: float, expected: str) -> None:
    assert left(info, ttl_s=ttl_s) == expected


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (IDLE, ("15m00s", "45m00s", "-", "-")),
        (BUSY, ("-", "45m00s", "-", "1 item running")),
        (LOCAL, ("15m00s", "never", "-", "-")),
        (None, ("-", "-", "-", "-")),
    ],
)
def test_what_keeps_it_up_stands_beside_how_long_it_may_be_idle(
    info: agent_pb2.NodeInfo | None, expected: tuple[str, ...]
) -> None:
    assert Status("web-1", info, "", Ending.EXITED, "SSH-2.0", "", 0.01, "").why_row[2:] == expected
