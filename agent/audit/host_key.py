"""Which SSH host key the node has: enrolment replaces it after it has told the agent of its new settings."""

import asyncio
import base64
import binascii
import contextlib
import hashlib
from pathlib import Path

from agent.audit.trail import Trail
from agent.ending import end

LOOK_EVERY_S = 5.0


class HostKeyNotes:
    """Notes the host key that the agent finds at its start, and each that takes its place."""

    def __init__(self, path: Path | None, trail: Trail) -> None:
        self._path = path
        self._trail = trail
        self._mark = trail.folder / ".host-key"
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look; nothing happens where no key is known."""
        if self._path is not None:
            self._task = asyncio.create_task(self._look(self._path))

    async def stop(self) -> None:
        """Look no more."""
        task, self._task = self._task, None
        await end(task)

    async def _look(self, path: Path) -> None:
        known = ""
        with contextlib.suppress(OSError):
            known = self._mark.read_text()
        while True:
            found = fingerprint(path)
            if found and found != known:
                known = found
                self._trail.note("settings", event="host_key", ssh_host_key=found)
                with contextlib.suppress(OSError):
                    self._mark.write_text(found)
            await asyncio.sleep(LOOK_EVERY_S)


def fingerprint(path: Path) -> str:
    """Return a public key's fingerprint as OpenSSH writes it; "" where there is none."""
    try:
        blob = base64.b64decode(path.read_text().split()[1])
    except (OSError, ValueError, IndexError, binascii.Error):
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
