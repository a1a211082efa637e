"""A control group for each item: its limits hold for all that it starts, and all of it ends together.

systemd delegates the unit's own subtree to the runner (Delegate=yes; docs: systemd CGROUP_DELEGATION, kernel
cgroup-v2). Processes may only be in leaves, so the runner itself moves into one:

    gaxx-runner.service/          limits of all items together, systemd's
        runner/                   this process
        item-1/ item-2/ …         one item each; used again when they are empty
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

CONTROLLERS = ("cpu", "memory", "pids")
RUNNER_RESERVE_BYTES = 64 * 1024 * 1024
"""Of the unit's memory, what no item gets: an item that takes all else must meet its own end, not the runner's."""


class Cgroup:
    """One item's group. Between `entered` and `release` it is nobody else's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.memory_limit_bytes = _number(folder / "memory.max")
        self.processes_limit = _number(folder / "pids.max")
        self._procs = os.open(folder / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        self._before = self._trouble()

    def take_me(self) -> None:
        """Move this process here: what it starts from now on is born here."""
        os.write(self._procs, b"0")

    def begin(self) -> None:
        """Count from here: the group may have had another item before."""
        self._before = self._trouble()

    def kill(self) -> None:
        """KILL whoever is in it, also who left its session and process group."""
        _write(self.folder / "cgroup.kill", "1")

    def why(self) -> str:
        """What limit the item met since `begin`; "" for none."""
        killed, refused = (now - before for now, before in zip(self._trouble(), self._before, strict=True))
        if killed:
            return f"out of memory: all items together may use {self.memory_limit_bytes >> 20} MiB here"
        if refused:
            return f"it reached the limit of {self.processes_limit} processes"
        return ""

    def is_empty(self) -> bool:
        """Whether nobody is in it."""
        return "populated 0" in (self.folder / "cgroup.events").read_text()

    def close(self) -> None:
        """Let go of it."""
        os.close(self._procs)

    def _trouble(self) -> tuple[int, int]:
        return _count(self.folder / "memory.events", "oom_kill"), _count(self.folder / "pids.events", "max")


class Cgroups:
    """The subtree that is ours. One thread, as the runner has."""

    def __init__(self, root: Path, controllers: Sequence[str] = CONTROLLERS) -> None:
        """Move this process into a leaf of `root` and let its siblings have limits.

        Raises OSError where the subtree is not ours, ValueError where controllers are missing.
        """
        given = (root / "cgroup.controllers").read_text().split()
        missing = [name for name in controllers if name not in given]
        if missing:
            message = f"the control group {root} has no {', '.join(missing)}; the unit's Delegate=yes gives it"
            raise ValueError(message)
        self._root = root
        self._own = _made(root / "runner")
        self._own.take_me()
        _write(root / "cgroup.subtree_control", " ".join(f"+{name}" for name in controllers))
        for left in root.glob("item-*"):
            # Of a runner that was killed: systemd has killed what was in it, too.
            with contextlib.suppress(OSError):
                left.rmdir()
        memory, processes = _number(root / "memory.max"), _number(root / "pids.max")
        self._limits = {
            "memory.max": str(max(memory // 2, memory - RUNNER_RESERVE_BYTES)) if memory else "",
            # A process that is killed for its memory leaves an item that waits for it: all of it goes.
            "memory.oom.group": "1",
            # Half: one item that forks without end must leave the others some.
            "pids.max": str(processes // 2) if processes else "",
        }
        self._free: list[Cgroup] = []
        self._left: list[Cgroup] = []
        self._made = 0

    @classmethod
    def mine(cls) -> "Cgroups":
        """Of the group that this process is in. Raises OSError, ValueError."""
        mount = next((line.split()[1] for line in _lines("/proc/self/mounts") if line.split()[2] == "cgroup2"), "")
        path = next((line[3:] for line in _lines("/proc/self/cgroup") if line.startswith("0::")), "")
        if not mount or not path:
            message = "there is no cgroup2 hierarchy here: items cannot have control groups of their own"
            raise ValueError(message)
        return cls(Path(mount) / path.lstrip("/"))

    def take(self) -> Cgroup:
        """An empty group. Raises OSError."""
        for group in list(self._left):
            if group.is_empty():
                self._left.remove(group)
                self._free.append(group)
        group = self._free.pop() if self._free else self._new()
        group.begin()
        return group

    @contextlib.contextmanager
    def entered(self, group: Cgroup) -> Iterator[None]:
        """What is started in here is in the group from its first instruction on."""
        group.take_me()
        try:
            yield
        finally:
            self._own.take_me()

    def release(self, group: Cgroup, *, kill: bool) -> None:
        """The item has ended. `kill`: so must all that it left behind."""
        if not group.is_empty():
            if kill:
                group.kill()
            # Whoever was killed is still there until somebody has waited for it.
            self._left.append(group)
        else:
            self._free.append(group)

    def _new(self) -> Cgroup:
        self._made += 1
        folder = self._root / f"item-{self._made}"
        folder.mkdir()
        for name, value in self._limits.items():
            if value and (folder / name).exists():
                _write(folder / name, value)
        return Cgroup(folder)


def _made(folder: Path) -> Cgroup:
    folder.mkdir(exist_ok=True)
    return Cgroup(folder)


def _write(path: Path, text: str) -> None:
    # In one call, and never made where it is not.
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _number(path: Path) -> int:
    """0: no limit, or no such controller."""
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return 0
    return 0 if text == "max" else int(text)


def _count(path: Path, name: str) -> int:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.split()[0] == name), 0)


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
