"""`python -m agent.runner`: environment -> socket -> loop -> exit code.

GAXX_RUNNER_SOCKET (required unless systemd passes the socket), GAXX_RUNNER_WORK_DIR (required),
GAXX_RUNNER_SLOTS (default: cores), GAXX_RUNNER_ENV_FILE (JSON object), GAXX_RUNNER_MEMORY_LIMIT_BYTES
(writable memory of one process of an item; default 0: no limit), GAXX_RUNNER_LINGERS
(default true; false: end when the agent that started it is gone and nothing runs), GAXX_RUNNER_CGROUPS
(default false; true: each item in a control group of its own, below the one that systemd delegates).
"""

import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

from agent.readiness import notify_ready
from agent.runner.server import Runner, RunnerConfig

# systemd's protocol: passed descriptors start here.
_FIRST_PASSED_FD = 3


def main() -> int:
    """Run until told to stop. Returns the exit code."""
    try:
        config = _config()
        config.work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        listener = _listener(config.socket)
        runner = Runner(config, listener)
        notify_ready()
    except (OSError, ValueError) as fault:
        sys.stderr.write(f"gaxx runner: {fault}\n")
        return 1
    try:
        runner.run({"stop": signal.SIGTERM, "interrupt": signal.SIGINT, "reload": signal.SIGHUP})
    finally:
        if not _is_passed():
            with contextlib.suppress(OSError):
                config.socket.unlink()
    return 0


def _config() -> RunnerConfig:
    environ = os.environ
    missing = [name for name in ("GAXX_RUNNER_SOCKET", "GAXX_RUNNER_WORK_DIR") if not environ.get(name)]
    if _is_passed() and "GAXX_RUNNER_SOCKET" in missing:
        missing.remove("GAXX_RUNNER_SOCKET")
    if missing:
        message = f"{', '.join(missing)} not set; the runner cannot start without"
        raise ValueError(message)
    slots = environ.get("GAXX_RUNNER_SLOTS") or str(os.cpu_count() or 1)
    if not slots.isdecimal() or int(slots) < 1:
        message = f"GAXX_RUNNER_SLOTS is {slots!r}; it must be a number from 1"
        raise ValueError(message)
    memory = environ.get("GAXX_RUNNER_MEMORY_LIMIT_BYTES") or "0"
    if not memory.isdecimal():
        message = f"GAXX_RUNNER_MEMORY_LIMIT_BYTES is {memory!r}; it must be a number of bytes, or 0 for no limit"
        raise ValueError(message)
    env_file = environ.get("GAXX_RUNNER_ENV_FILE")
    work_dir = Path(environ["GAXX_RUNNER_WORK_DIR"]).absolute()
    return RunnerConfig(
        # A passed socket has its name elsewhere; then the work folder takes what would lie beside it.
        socket=Path(environ.get("GAXX_RUNNER_SOCKET") or work_dir / "runner.sock").absolute(),
        slots=int(slots),
        work_dir=work_dir,
        env_file=Path(env_file).absolute() if env_file else None,
        lingers=environ.get("GAXX_RUNNER_LINGERS", "true") != "false",
        environ=dict(environ),
        memory_limit_bytes=int(memory),
        cgroups=environ.get("GAXX_RUNNER_CGROUPS") == "true",
    )


def _is_passed() -> bool:
    return os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1"


def _listener(path: Path) -> socket.socket:
    if _is_passed():
        return socket.socket(fileno=_FIRST_PASSED_FD)
    # A path may be longer than the 107 bytes that a socket's name may have: bind it from within its folder.
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path.name)
        except OSError:
            path.unlink(missing_ok=True)
        else:
            message = f"another runner listens on {path}"
            raise ValueError(message)
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listener.bind(f"{path.name}.new")
    finally:
        os.umask(mask)
    listener.listen(8)
    # The name appears only when somebody listens.
    Path(f"{path.name}.new").rename(path.name)
    return listener


if __name__ == "__main__":
    sys.exit(main())
