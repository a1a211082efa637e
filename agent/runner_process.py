"""The runner that an agent starts for itself, where no service manager does (local nodes)."""

import asyncio
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

_STARTED_WITHIN_S = 10.0
_ENDED_WITHIN_S = 2.0
_LOOK_EVERY_S = 0.01

_numbers = itertools.count(1)
"""Of all runners that this process has started: two agents in one process must not meet in one socket."""


class RunnerProcess:
    """One child `python -m agent.runner` at a time, with a clean environment and its own socket name."""

    def __init__(self, *, run_dir: Path, work_dir: Path, slots: int, env: Mapping[str, str]) -> None:
        self._run_dir = run_dir
        self._work_dir = work_dir
        self._slots = slots
        self._env_file = run_dir / "items-env.json"
        # 0 when there is none that has not been waited for.
        self._pid = 0
        self._write_env(env)

    @property
    def pid(self) -> int:
        """Pid of the child; 0 when there is none."""
        self._reap()
        return self._pid

    async def start(self) -> Path:
        """Start a child (the one before has ended or is ended) and return its socket. Raises OSError."""
        await self._end()
        # A name of its own: a runner that outlived an earlier agent, for its detached items, keeps its own.
        path = self._run_dir / f"runner-{os.getpid()}-{next(_numbers)}.sock"
        # What it says on stderr goes where our log goes.
        self._pid = os.posix_spawn(  # noqa: ASYNC221 - returns as soon as the child has begun
            sys.executable,
            [sys.executable, "-m", "agent.runner"],
            self._environ(path),
            file_actions=[(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)],
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
        )
        deadline_s = time.monotonic() + _STARTED_WITHIN_S
        while not path.is_socket():
            if not self.pid:
                message = "the runner ended at once"
                raise OSError(message)
            if time.monotonic() > deadline_s:
                message = f"the runner made no socket within {_STARTED_WITHIN_S:g} s"
                raise OSError(message)
            await asyncio.sleep(_LOOK_EVERY_S)
        return path

    def reload(self, env: Mapping[str, str]) -> None:
        """Change the declared environment of later items."""
        self._write_env(env)
        if self.pid:
            os.kill(self.pid, signal.SIGHUP)

    async def leave(self) -> None:
        """Let the child end by itself: at once, or when its detached items have ended."""
        await self._wait(_ENDED_WITHIN_S)

    async def _end(self) -> None:
        if self.pid:
            os.kill(self._pid, signal.SIGKILL)
            await self._wait(_STARTED_WITHIN_S)

    async def _wait(self, patience_s: float) -> None:
        deadline_s = time.monotonic() + patience_s
        while self.pid and time.monotonic() < deadline_s:  # noqa: ASYNC110 - nothing announces the end of a child
            await asyncio.sleep(_LOOK_EVERY_S)

    def _reap(self) -> None:
        if self._pid:
            try:
                ended, _ = os.waitpid(self._pid, os.WNOHANG)
            except ChildProcessError:
                ended = self._pid
            if ended:
                self._pid = 0

    def _write_env(self, env: Mapping[str, str]) -> None:
        self._run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._env_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(dict(env), file)

    def _environ(self, path: Path) -> dict[str, str]:
        """Nothing of the agent's own settings: not even the names of its files."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if os.environ.get(name)}
        # The package may lie in a bundle or in a checkout that is not installed.
        root = str(Path(__file__).resolve().parent.parent)
        python_path = os.pathsep.join(dict.fromkeys([root, *filter(None, sys.path)]))
        return {
            **kept,
            "PYTHONPATH": python_path,
            "GAXX_RUNNER_SOCKET": str(path),
            "GAXX_RUNNER_SLOTS": str(self._slots),
            "GAXX_RUNNER_WORK_DIR": str(self._work_dir),
            "GAXX_RUNNER_ENV_FILE": str(self._env_file),
            "GAXX_RUNNER_LINGERS": "false",
        }
