"""Ends a node that has been idle for too long: it drains, and says so to whoever may power the machine off.

activity ─► Idleness ─► idleness.json (how long, across restarts) ─► the end file ─► systemd, as at the end of the TTL
"""

import asyncio
import contextlib
import json
import logging
import time
from pathlib import Path
from typing import NamedTuple

from agent.ending import end
from agent.node import Node

_log = logging.getLogger("gaxx.agent")

TICK_S = 5.0
"""So often is looked; a `kill -9` makes the node so much older in its idleness at most."""
SAVE_EVERY_S = 60.0
"""What a power cut can cost of the idleness that was reached."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Record(NamedTuple):
    """How long the node had been idle at one moment. Clocks of the wall are not asked: they jump."""

    boot: str
    """In which life of the kernel; `at_s` means nothing in another."""
    at_s: float
    """Of the monotonic clock."""
    idle_s: float
    limit_s: float

    def now(self, boot: str) -> float:
        """How long it has been by now, if nothing happened. The time that a machine was off is not counted."""
        return self.idle_s + (max(time.monotonic() - self.at_s, 0.0) if boot == self.boot else 0.0)


class Idleness:
    """Watches the activity of one node from `start` to `stop`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._file = node.config.idleness_file
        self._boot = _BOOT_ID.read_text().strip()
        self._saved: Record | None = None
        self._limit_s = node.manifest.idle_s
        self._over = False
        self._fault = ""
        self._task: asyncio.Task[None] | None = None
        node.activity.others += [self._detached, self._terminals]

    async def start(self) -> None:
        """Go on where the last agent stopped: that one was started anew, or a machine, is nobody's work."""
        record = await asyncio.to_thread(_read, self._file)
        # Under another limit the time begins again: who has just changed it must not lose the machine by it.
        if record is not None and record.limit_s == self._limit_s:
            self._node.activity.resume(record.now(self._boot))
        await self._save()
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Watch no more."""
        task, self._task = self._task, None
        if task is None:
            return
        await end(task)
        if not self._over:
            self._node.activity.look()
            await self._save()

    async def _watch(self) -> None:
        activity = self._node.activity
        while True:
            activity.began.clear()
            activity.look()
            if self._node.manifest.idle_s != self._limit_s:
                self._limit_s = self._node.manifest.idle_s
                activity.resume(0)
            known_s = self._known_s()
            if abs(known_s - activity.idle_s) > TICK_S or self._is_old():
                await self._save()
                known_s = 0.0 if self._fault else self._known_s()
            left_s = self._node.idle_limit_s - activity.idle_s if self._node.idle_limit_s else TICK_S
            if left_s <= 0 and not activity.draining and not activity.why_not_idle and self._end():
                return
            wait_s = min(TICK_S, max(left_s, 0.1))
            if known_s > TICK_S:
                # What begins now makes the file wrong: it must not wait for a turn that a crash may forestall.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(activity.began.wait(), wait_s)
            else:
                await asyncio.sleep(wait_s)

    def _end(self) -> bool:
        """Take no more work and have the machine ended; return whether that was possible."""
        node = self._node
        assert node.config.end_file is not None  # noqa: S101 - there is a limit only where there is one
        idle_s = round(node.activity.idle_s, 1)
        try:
            # Whoever starts this machine again starts anew.
            self._file.unlink(missing_ok=True)
            node.config.end_file.touch(mode=0o600)
        except OSError as fault:
            self._complain("the end of this machine cannot be asked for", fault)
            return False
        node.activity.draining = self._over = True
        node.audit.note("agent", event="idle", idle_s=idle_s, limit_s=node.idle_limit_s)
        _log.warning("idle for %.0f s: this machine ends", idle_s, extra={"event": "idle", "idle_s": idle_s})
        return True

    def _known_s(self) -> float:
        return self._saved.now(self._boot) if self._saved is not None else 0.0

    def _is_old(self) -> bool:
        return self._saved is None or time.monotonic() - self._saved.at_s > SAVE_EVERY_S

    async def _save(self) -> None:
        record = Record(self._boot, time.monotonic(), self._node.activity.idle_s, self._limit_s)
        try:
            await asyncio.to_thread(_write, self._file, record)
        except OSError as fault:
            self._complain("how long this node is idle cannot be kept", fault)
            return
        self._saved, self._fault = record, ""

    def _complain(self, what: str, fault: OSError) -> None:
        """Say it once, not at every turn."""
        if fault.strerror != self._fault:
            self._fault = fault.strerror or "?"
            _log.error("%s: %s: %s", what, fault.filename, self._fault, extra={"event": "idleness"})

    def _detached(self) -> str:
        """Commands whose callers have gone are with the runner and in no count."""
        activity = self._node.activity
        count = self._node.runner.running - activity.sessions - activity.running_items
        return f"{count} detached" if count > 0 else ""

    def _terminals(self) -> str:
        """Who works over SSH has a terminal."""
        folder = self._node.config.terminals
        if folder is None:
            return ""
        try:
            count = sum(path.name.isdecimal() for path in folder.iterdir())
        except OSError as fault:
            # Who cannot see who is there does not turn off the light.
            return f"{folder} cannot be read ({fault.strerror})"
        return f"{count} terminal{'s' if count > 1 else ''} open" if count else ""


def _read(path: Path) -> Record | None:
    """Return what an agent has kept; None where there is nothing that could be read."""
    try:
        data = json.loads(path.read_text())
        return Record(str(data["boot"]), float(data["at_s"]), float(data["idle_s"]), float(data["limit_s"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, record: Record) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_text(json.dumps(record._asdict()))
    new.replace(path)
