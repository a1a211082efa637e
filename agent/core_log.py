"""What gRPC's core says on stderr: refused handshakes become audit lines, the rest goes on as it is.

Python never sees a TLS handshake that fails in gRPC; only the core's own log tells that somebody was
refused and why. The core writes to descriptor 2, so that becomes a pipe which is read here, and our own
log moves to a copy of what descriptor 2 was.
"""

import asyncio
import logging
import os
import re
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.access.denied import Reason

_audit = logging.getLogger("gaxx.audit")

LINES_A_SECOND = 10
"""More refused handshakes in one second are counted but not written one by one."""

_HANDSHAKE = re.compile(
    r"Handshake failed with error \w+: (?:error:[0-9a-f]+:)?[^:]*:[^:]*:(?P<code>\w+)(?:: (?P<why>.*))?"
)
_CORE = re.compile(r"[IWE]\d{4} \d\d:\d\d:\d\d")
_WORDS = {"PEER_DID_NOT_RETURN_A_CERTIFICATE": "no client certificate"}


class CoreLog:
    """Reads the core's lines while the agent runs. Make it before gRPC is loaded."""

    def __init__(self) -> None:
        os.environ["GRPC_VERBOSITY"] = "INFO"
        self._count: Callable[[Reason], None] = _nothing
        self._note: Callable[[str, int], None] = _nothing_noted
        self._unwritten = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._second = 0
        self._in_second = 0
        sys.stderr.flush()
        self.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
        sys.stderr = self.stderr
        self._read_end, write_end = os.pipe2(os.O_CLOEXEC)
        os.dup2(write_end, 2)
        os.close(write_end)

    def start(
        self,
        loop: asyncio.AbstractEventLoop,
        count: "Callable[[Reason], None]",
        note: "Callable[[str, int], None]",
    ) -> None:
        """Begin to read; refusals are counted, logged and noted in the loop's thread.

        `note` gets the reason, and how many refusals before it were not written one by one.
        """
        self._loop = loop
        self._count = count
        self._note = note
        self._thread = threading.Thread(target=self._read, name="core-log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give descriptor 2 back, and read what is in the pipe still."""
        os.dup2(self.stderr.fileno(), 2)
        if self._thread is not None:
            # Not for ever: a runner that outlives us holds the other end too.
            self._thread.join(0.2)

    def _read(self) -> None:
        with os.fdopen(self._read_end, encoding="utf-8", errors="backslashreplace") as lines:
            for line in lines:
                self._take(line.rstrip("\n"))

    def _take(self, line: str) -> None:
        why = refused_handshake(line)
        if why:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._refused, why)
        elif not _CORE.match(line) or line.startswith("E"):
            # A runner's last words, a fatal error: for whoever reads our stderr.
            self.stderr.write(f"{line}\n")

    def _refused(self, why: str) -> None:
        self._count("handshake")
        now = int(time.monotonic())
        if now != self._second:
            self._second, self._in_second = now, 0
        self._in_second += 1
        if self._in_second > LINES_A_SECOND:
            self._unwritten += 1
        else:
            self._note(why, self._unwritten)
            self._unwritten = 0
            _audit.warning(
                "refused in the handshake: %s",
                why,
                extra={"event": "refused", "reason": "handshake", "principal": "", "method": "", "peer": ""},
            )


def refused_handshake(line: str) -> str:
    """Return why a handshake was refused when that is what the core's line says; else nothing."""
    found = _HANDSHAKE.search(line)
    if found is None:
        return ""
    code = found["code"]
    return _WORDS.get(code) or found["why"] or code.lower().replace("_", " ")


def _nothing(_reason: "Reason") -> None:
    """Before `start` nobody counts."""


def _nothing_noted(_why: str, _before: int) -> None:
    """Nor does anybody take notes."""
