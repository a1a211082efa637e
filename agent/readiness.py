"""Tells whoever started this process that it serves: systemd's notification protocol (man sd_notify)."""

import asyncio
import os
import socket

_USEC = 1e-6


def notify_ready() -> None:
    """Send READY=1 to $NOTIFY_SOCKET; do nothing where nobody listens for it."""
    _notify(b"READY=1")


async def feed_watchdog() -> None:
    """Send WATCHDOG=1 twice as often as $WATCHDOG_USEC wants it, for ever; return at once where nobody does.

    A loop that is stuck does not get to it: that is what the watchdog is for.
    """
    wanted = os.environ.get("WATCHDOG_USEC", "")
    if not wanted.isdecimal() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    while True:
        _notify(b"WATCHDOG=1")
        await asyncio.sleep(int(wanted) * _USEC / 2)


def _notify(state: bytes) -> None:
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
        try:
            # A leading @ means the abstract namespace.
            notify.connect(f"\0{path[1:]}" if path.startswith("@") else path)
        except OSError as fault:
            fault.filename = f"NOTIFY_SOCKET: {path}"
            raise
        notify.send(state)
