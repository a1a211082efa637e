"""A sampling profile of the agent, asked for through a Unix socket that only the agent's user can open.

Nothing listens on a port for this. The answer is HTTP, so that a forwarded port shows it in a browser:
`/folded?seconds=5` gives folded stacks, one a line with its count, as flame graph tools read them.
"""

import asyncio
import collections
import contextlib
import os
import socket
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from urllib.parse import parse_qs, urlsplit

SOCKET_NAME = "profile.sock"
MAX_S = 60.0
DEFAULT_S = 5.0
RATE_HZ = 100
_REQUEST_S = 5.0


class ProfileServer:
    """Answers one request a connection, one profile at a time."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / SOCKET_NAME
        self._server: asyncio.Server | None = None
        self._one_at_a_time = asyncio.Lock()

    async def start(self) -> None:
        """Listen on the socket, mode 0600. Raises OSError."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        # Through the folder's descriptor: the path may be longer than a socket's name may be.
        folder = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        mask = os.umask(0o177)
        try:
            listener.bind(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.umask(mask)
            os.close(folder)
        self._server = await asyncio.start_unix_server(self._answer, sock=listener)

    async def stop(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
            status, body = await self._respond(head)
            header = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            header += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(header.encode() + body)
            async with asyncio.timeout(_REQUEST_S):
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _respond(self, head: bytes) -> tuple[str, bytes]:
        words = head.decode("latin-1").split(" ")
        target = urlsplit(words[1] if len(words) > 1 else "")
        if words[0] != "GET" or target.path != "/folded":
            return "404 Not Found", b"there is /folded?seconds=5\n"
        try:
            seconds = float(parse_qs(target.query).get("seconds", [str(DEFAULT_S)])[0])
        except ValueError:
            seconds = 0.0
        if not 0 < seconds <= MAX_S:
            return "400 Bad Request", f"seconds must be a number up to {MAX_S:g}\n".encode()
        async with self._one_at_a_time:
            return "200 OK", (await asyncio.to_thread(sample, seconds)).encode()


def sample(seconds: float) -> str:
    """Look at all threads but this one for so long; return folded stacks with counts. Blocks."""
    stacks: collections.Counter[str] = collections.Counter()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        for ident, frame in sys._current_frames().items():  # noqa: SLF001 - the only way to see other threads
            if ident != threading.get_ident():
                stacks[";".join([names.get(ident, "other"), *reversed(_folded(frame))])] += 1
        time.sleep(1 / RATE_HZ)
    return "".join(f"{stack} {count}\n" for stack, count in stacks.most_common())


def _folded(frame: FrameType | None) -> list[str]:
    names = []
    while frame is not None:
        code = frame.f_code
        names.append(f"{Path(code.co_filename).stem}.{code.co_qualname}")
        frame = frame.f_back
    return names
