"""What systemd is told: ready once, and that the loop still turns."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.readiness import feed_watchdog, notify_ready


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket on which systemd would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def test_readiness_is_told_once(systemd: socket.socket) -> None:
    notify_ready()

    assert systemd.recv(64) == b"READY=1"


async def test_a_watchdog_is_fed_again_and_again(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    feeding = asyncio.create_task(feed_watchdog())

    said = [await asyncio.to_thread(systemd.recv, 64) for _ in range(3)]

    feeding.cancel()
    assert said == [b"WATCHDOG=1"] * 3


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}])
async def test_where_nobody_watches_nothing_is_said(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    await feed_watchdog()

    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(64)
