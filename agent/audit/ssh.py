"""Who came over SSH, as sshd itself says it: from its log on a local node, from the journal on a machine.

A session takes two lines of the trail: who began it, from where, by which key, and its end. One that was refused
takes one. sshd needs no change for it, and the agent no right but to read.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.audit.limit import Limit
from agent.audit.lines import stamp
from agent.audit.trail import Trail
from agent.ending import end

_log = logging.getLogger("gaxx.agent")

JOURNAL = "journal"
POLL_S = 1.0
AGAIN_S = 5.0
_READ_BYTES = 1024 * 1024

# The fields with a _ are the kernel's word on who has spoken: anybody may call himself sshd, only root's sshd is it.
_JOURNALCTL = ("journalctl", "--follow", "--no-tail", "--quiet", "--output=json")
_MATCHES = ("_UID=0", "_COMM=sshd", "+", "_UID=0", "_COMM=sshd-session")

_PEER = r"(?P<host>\S+) port (?P<port>\d+)"
_BEGAN = re.compile(rf"Accepted (?P<method>\S+) for (?P<user>.+) from {_PEER} ssh2(?:: (?P<key>.*))?")
_CLOSED = re.compile(rf"(?:Disconnected from user .+|Connection (?:closed|reset) by|Closing connection to) {_PEER}$")
_PAM_CLOSED = re.compile(r"pam_unix\(sshd:session\): session closed for user (?P<user>\S+)")
_REFUSED = re.compile(
    r"(?:(?:Connection (?:closed|reset) by|Disconnected from|Disconnecting) (?:authenticating|invalid) user "
    rf"(?P<user>.*)|Unable to negotiate with) {_PEER}"
)


class Sessions:
    """Turns sshd's lines into notes."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._open: dict[str, dict[str, object]] = {}
        self._limit = Limit()

    def take(self, message: str, *, pid: str = "", **extra: object) -> None:
        """Take one line; `pid` is sshd's where it is known, `extra` goes into the note."""
        if began := _BEGAN.fullmatch(message):
            peer = _peer(began)
            whose = {"user": began["user"], "peer": peer}
            self._open[pid or peer] = whose
            self._trail.note("ssh", event="begin", **whose, method=began["method"], key=began["key"] or "", **extra)
        elif closed := _CLOSED.match(message):
            self._end(_peer(closed), extra)
        elif _PAM_CLOSED.search(message):
            self._end(pid, extra)
        elif refused := _REFUSED.search(message):
            self._refused(refused, message, extra)

    def _end(self, session: str, extra: dict[str, object]) -> None:
        whose = self._open.pop(session, None)
        if whose is not None:
            self._trail.note("ssh", event="end", **whose, **extra)

    def _refused(self, found: "re.Match[str]", message: str, extra: dict[str, object]) -> None:
        more = self._limit.passes()
        if more is not None:
            self._trail.note(
                "ssh", event="refused", user=found["user"] or "", peer=_peer(found), why=message, **more, **extra
            )


class SshLog:
    """Follows sshd's log while the agent runs; where it stopped, it goes on after a restart."""

    def __init__(self, source: str, trail: Trail) -> None:
        self._source = source
        self._sessions = Sessions(trail)
        self._mark = trail.folder / ".ssh-log"
        self._marked = ""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow; nothing happens where no log is known."""
        if self._source:
            self._marked = _read(self._mark)
            follow = self._follow_journal() if self._source == JOURNAL else self._follow_file(Path(self._source))
            self._task = asyncio.create_task(follow)

    async def stop(self) -> None:
        """Follow no more."""
        task, self._task = self._task, None
        await end(task)

    def _remember(self, mark: str) -> None:
        """Keep what the turn before this one has reached: its lines are on the disk by now."""
        if mark != self._marked:
            with contextlib.suppress(OSError):
                self._mark.write_text(mark)
            self._marked = mark

    async def _follow_file(self, path: Path) -> None:
        inode, offset = _position(self._marked)
        rest = b""
        while True:
            reached = f"{inode} {offset - len(rest)}"
            with contextlib.suppress(OSError), path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != inode or status.st_size < offset:
                    inode, offset, rest = status.st_ino, 0, b""
                file.seek(offset)
                data = file.read(_READ_BYTES)
                offset += len(data)
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._sessions.take(line.decode("utf-8", "backslashreplace").rstrip("\r"))
            await asyncio.sleep(POLL_S)
            self._remember(reached)

    async def _follow_journal(self) -> None:
        while True:
            where = [f"--after-cursor={self._marked}"] if self._marked else ["--boot"]
            try:
                process = await asyncio.create_subprocess_exec(
                    *_JOURNALCTL, *where, *_MATCHES,
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL, limit=_READ_BYTES,
                )  # fmt: skip
            except OSError as fault:
                _log.error("no journal to be read: %s", fault.strerror, extra={"event": "ssh_log"})
                return
            try:
                await self._take_journal(process)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            await asyncio.sleep(AGAIN_S)

    async def _take_journal(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 - asked for above
        cursor = self._marked
        while line := await process.stdout.readline():
            reached = cursor
            for entry in _entries(line):
                cursor = entry["cursor"] or cursor
                self._sessions.take(entry["message"], pid=entry["pid"], at=entry["at"])
            self._remember(reached)


def _entries(line: bytes) -> Iterator[dict[str, str]]:
    """Yield the journal's entry in the line, if there is one."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        entry: dict[str, Any] = json.loads(line)
        message = entry["MESSAGE"]
        yield {
            # The journal writes what is no text as a list of bytes.
            "message": message if isinstance(message, str) else bytes(message).decode("utf-8", "backslashreplace"),
            "pid": str(entry.get("_PID", "")),
            "at": stamp(int(entry["__REALTIME_TIMESTAMP"]) / 1e6),
            "cursor": str(entry.get("__CURSOR", "")),
        }


def _peer(found: "re.Match[str]") -> str:
    host = found["host"]
    return f"[{host}]:{found['port']}" if ":" in host else f"{host}:{found['port']}"


def _position(mark: str) -> tuple[int, int]:
    inode, _, offset = mark.partition(" ")
    return (int(inode), int(offset)) if inode.isdecimal() and offset.isdecimal() else (0, 0)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
