"""Tells whoever started this process that it serves: systemd's notification protocol (man sd_notify)."""

import os
import socket


def notify_ready() -> None:
    """Send READY=1 to $NOTIFY_SOCKET; do nothing where nobody listens for it."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
        # A leading @ means the abstract namespace.
        notify.connect(f"\0{path[1:]}" if path.startswith("@") else path)
        notify.send(b"READY=1")
