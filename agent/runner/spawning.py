"""Start a process: its environment, the program on its PATH, its pipes; never a shell.

posix_spawn costs a third of fork+exec from Python. It knows no working directory, so the runner, which
has one thread, changes its own before each start; everything else here uses descriptors or absolute paths.
"""

import contextlib
import errno
import os
import resource
import signal
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.runner.cgroups import Cgroup, Cgroups

ARGUMENT_LIMIT_BYTES = 131_071
"""The kernel refuses one argument or variable of 128 KiB or more, its final zero included."""

_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What Python or we changed and a program expects to be as usual.
_DEFAULT_SIGNALS = [
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGCHLD,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
]


class SpawnFailed(Exception):  # noqa: N818 - it is what the exit says: spawn failed
    """The command never started; the message says why, for a person."""


class Spawner:
    """Starts processes with the node's environment and limits."""

    def __init__(
        self,
        environment: Mapping[bytes, bytes],
        work_dir: bytes,
        memory_limit_bytes: int = 0,
        cgroups: Cgroups | None = None,
    ) -> None:
        self.environment = dict(environment)
        self.work_dir = work_dir
        self.cgroups = cgroups
        self._found: dict[tuple[bytes, bytes], bytes] = {}
        self._null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self._soft_files, self._hard_files = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self._own_memory = resource.getrlimit(resource.RLIMIT_DATA)
        self._memory_of_items = (memory_limit_bytes or self._own_memory[0], self._own_memory[1])

    def start(
        self,
        argv: Sequence[bytes],
        environment: Mapping[str, bytes],
        folders: Sequence[bytes],
        pipes: tuple[int | None, int, int],
        cgroup: Cgroup | None = None,
    ) -> int:
        """Start `argv` as leader of its own session and process group; return its pid.

        `folders` are entered one after the other (so the second may be relative to the first), the first
        is made when absent; `pipes` are the child's ends of stdin (None: /dev/null), stdout and stderr;
        `cgroup` is the one of `cgroups` that it is born in. Raises SpawnFailed.
        """
        if not argv or not argv[0]:
            message = "no command was given"
            raise SpawnFailed(message)
        env = self._environment(environment)
        self._enter(folders)
        program = self._find(argv[0], env.get(b"PATH", _PATH))
        stdin, stdout, stderr = pipes
        actions = [
            (os.POSIX_SPAWN_DUP2, self._null if stdin is None else stdin, 0),
            (os.POSIX_SPAWN_DUP2, stdout, 1),
            (os.POSIX_SPAWN_DUP2, stderr, 2),
        ]
        # Items get the usual soft limit; the runner itself needs many more descriptors.
        resource.setrlimit(resource.RLIMIT_NOFILE, (self._soft_files, self._hard_files))
        # Not RLIMIT_AS: programs reserve address space that they never fill.
        resource.setrlimit(resource.RLIMIT_DATA, self._memory_of_items)
        try:
            with self._entered(cgroup):
                return os.posix_spawn(
                    program,
                    list(argv),
                    env,
                    file_actions=actions,
                    setsid=True,
                    setsigmask=(),
                    setsigdef=_DEFAULT_SIGNALS,
                )
        except (OSError, ValueError) as fault:
            self._found.clear()
            raise SpawnFailed(_why(fault, argv, env, program)) from fault
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._hard_files, self._hard_files))
            resource.setrlimit(resource.RLIMIT_DATA, self._own_memory)

    def _entered(self, cgroup: Cgroup | None) -> contextlib.AbstractContextManager[None]:
        if self.cgroups is None or cgroup is None:
            return contextlib.nullcontext()
        return self.cgroups.entered(cgroup)

    def _environment(self, added: Mapping[str, bytes]) -> dict[bytes, bytes]:
        env = self.environment
        if added:
            env = env.copy()
            for name, value in added.items():
                env[os.fsencode(name)] = value
        return env

    def _enter(self, folders: Sequence[bytes]) -> None:
        first = True
        for folder in folders:
            try:
                try:
                    os.chdir(folder)
                except FileNotFoundError:
                    if not first:
                        raise
                    Path(os.fsdecode(folder)).mkdir(mode=0o770, parents=True, exist_ok=True)
                    os.chdir(folder)
            except OSError as fault:
                message = f"cannot enter the working folder {_show(folder)}: {fault.strerror}"
                raise SpawnFailed(message) from fault
            except ValueError as fault:
                message = f"the working folder {_show(folder)} contains a zero byte"
                raise SpawnFailed(message) from fault
            first = False

    def _find(self, name: bytes, path: bytes) -> bytes:
        """Search PATH as a shell would: the item's PATH, not ours."""
        if b"/" in name:
            return name
        found = self._found.get((name, path))
        if found is not None:
            return found
        denied = False
        for folder in path.split(b":"):
            candidate = os.path.join(folder or b".", name)  # noqa: PTH118 - bytes
            try:
                if not stat.S_ISREG(os.stat(candidate).st_mode):  # noqa: PTH116 - bytes
                    continue
            except (OSError, ValueError):
                continue
            if os.access(candidate, os.X_OK):
                if candidate.startswith(b"/"):
                    self._found[name, path] = candidate
                return candidate
            denied = True
        if denied:
            message = f"{_show(name)}: found on PATH but not executable"
        else:
            message = f"{_show(name)}: command not found on PATH {_show(path)}"
        raise SpawnFailed(message)


def _why(fault: OSError | ValueError, argv: Sequence[bytes], env: Mapping[bytes, bytes], program: bytes) -> str:
    if isinstance(fault, ValueError):
        zero = any(b"\0" in part for part in argv)
        what = "an argument contains a zero byte" if zero else "a variable's name has '=' or its value a zero byte"
    elif fault.errno == errno.E2BIG:
        what = _too_big(argv, env)
    elif fault.errno == errno.ENOEXEC:
        what = "neither a program nor a script with a #! line"
    elif fault.errno == errno.ENOENT and Path(os.fsdecode(program)).exists():
        what = "its interpreter (#! line or loader) does not exist"
    else:
        what = fault.strerror or "cannot be started"
    return f"{_show(argv[0])}: {what}"


def _too_big(argv: Sequence[bytes], env: Mapping[bytes, bytes]) -> str:
    longest = max(len(part) for part in argv)
    if longest > ARGUMENT_LIMIT_BYTES:
        return f"an argument has {longest} bytes; the kernel takes {ARGUMENT_LIMIT_BYTES}"
    if any(len(name) + len(value) + 1 > ARGUMENT_LIMIT_BYTES for name, value in env.items()):
        return f"a variable is longer than the kernel's {ARGUMENT_LIMIT_BYTES} bytes"
    return "arguments and environment together are too long for the kernel"


def _show(name: bytes) -> str:
    return name[:200].decode("utf-8", "backslashreplace")
