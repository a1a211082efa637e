"""JSON lines on stderr, without secrets, and a short memory of them for the Logs call."""

import asyncio
import collections
import datetime as dt
import json
import logging
import re
from collections.abc import AsyncGenerator
from typing import TextIO

_KEPT_LINES = 2000
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_SECRETS = (
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
        "[private key]",
    ),
    (re.compile(r"(?i)\b(bearer)\s+[^\s\"',;]+"), r"\1 [redacted]"),
    (
        re.compile(r"(?i)\b([a-z_]*(?:token|password|passphrase|secret|api_?key))(\"?\s*[=:]\s*\"?)[^\s\"',;]+"),
        r"\1\2[redacted]",
    ),
)


def redact(text: str) -> str:
    """Return the text without what looks like a token, a password or a private key."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time, level, logger, message and whatever `extra` carried."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, redacted."""
        stamp = dt.datetime.fromtimestamp(record.created, dt.UTC)
        line: dict[str, object] = {
            "time": stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        for name, value in record.__dict__.items():
            if name not in _STANDARD and not name.startswith("_"):
                line[name] = redact(value) if isinstance(value, str) else value
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=str)


class Memory(logging.Handler):
    """The last lines of each source, and whoever follows them. Used from the event loop's thread.

    A record becomes a line once, for `stream` and for the memory: of what a short command costs here it is a good part.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self._stream = stream
        self._lines: dict[str, collections.deque[str]] = {
            source: collections.deque(maxlen=_KEPT_LINES) for source in ("agent", "runner", "audit")
        }
        self._followers: dict[str, set[asyncio.Queue[str]]] = {source: set() for source in self._lines}

    @property
    def sources(self) -> tuple[str, ...]:
        """The names that `read` knows."""
        return tuple(self._lines)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record and keep it: lines of `gaxx.audit` and `gaxx.runner` under their own source."""
        line = self.format(record)
        if self._stream is not None:
            try:
                self._stream.write(f"{line}\n")
            except (OSError, ValueError):
                # Whoever read it is gone, or closed it: the memory stays.
                self._stream = None
        source = record.name.rpartition(".")[2]
        self.keep(source if source in ("audit", "runner") else "agent", line)

    def keep(self, source: str, line: str) -> None:
        """Keep a line that another process wrote."""
        self._lines[source].append(line)
        for queue in self._followers[source]:
            if queue.full():
                # A follower that reads too slowly misses the oldest, and never costs memory.
                queue.get_nowait()
            queue.put_nowait(line)

    def lines(self, source: str) -> list[str]:
        """Return what is kept of a source."""
        return list(self._lines[source])

    async def read(self, source: str, tail: int, *, follow: bool) -> AsyncGenerator[str, None]:
        """Yield the last `tail` lines (0: all that are kept), then, on `follow`, each new one."""
        queue: asyncio.Queue[str] = asyncio.Queue(_KEPT_LINES)
        lines = self.lines(source)
        self._followers[source].add(queue)
        try:
            for line in lines[-tail:] if tail else lines:
                yield line
            while follow:
                yield await queue.get()
        finally:
            self._followers[source].discard(queue)


def set_up_logging(stderr: TextIO) -> Memory:
    """Send everything as JSON lines to `stderr`. Returns the memory that the Logs call reads."""
    memory = Memory(stderr)
    root = logging.getLogger()
    root.handlers[:] = [memory]
    root.setLevel(logging.INFO)
    return memory
