"""`python3 -m tools.setup`: from a fresh machine to a clone that works. Repeats are cheap: nothing to do, under 1 s.

Debian packages (root) ─► the account of local nodes (root) ─► .venv by uv.lock ─► the Pulumi engine ─► stamp
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - it may well be run by an older one, and this file is all that reads
    sys.exit(f"gaxx: Python 3.11 or newer is needed, and {sys.executable} is {sys.version.split()[0]}")

import contextlib
import fcntl
import hashlib
import os
import pathlib
import time
from collections.abc import Iterator

from tools import cloud_init, environment, machine
from tools.engine import __main__ as engine
from tools.engine import venv as engine_venv

ROOT = pathlib.Path(__file__).parent.parent
STAMP = ROOT / ".venv" / "share" / "gaxx" / "setup"


def inputs() -> str:
    """What the result of a set-up depends on, as one digest."""
    digest = hashlib.sha256(f"{ROOT} {os.geteuid()}".encode())
    files = [ROOT / "uv.lock", ROOT / "pyproject.toml", *sorted((ROOT / "tools").rglob("*"))]
    for path in files:
        if path.is_file() and path.suffix != ".pyc":
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def ready() -> bool:
    """Whether a set-up with these inputs has been done, and what it made is still there."""
    with contextlib.suppress(FileNotFoundError):
        if STAMP.read_text() != inputs():
            return False
        made = (ROOT / ".venv" / "bin" / "python", ROOT / ".venv" / "bin" / "pulumi", engine_venv.note(ROOT / ".venv"))
        return all(path.exists() for path in made) and not machine.missing() and machine.account_ready()
    return False


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One set-up of this clone at a time."""
    folder = os.open(ROOT, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write("gaxx: another set-up of this clone is at work, waiting for it\n")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def set_up() -> int:
    """Do whatever has not been done. Returns an exit code."""
    started = time.monotonic()
    STAMP.unlink(missing_ok=True)
    missing = machine.missing()
    if missing:
        machine.install(missing)
    if not machine.account_ready():
        machine.make_account()
    environment.sync(ROOT)
    cloud_init.fetch(ROOT / ".venv")
    code = engine.main(["--venv", str(ROOT / ".venv")])
    if code != 0:
        return code
    STAMP.parent.mkdir(parents=True, exist_ok=True)
    STAMP.write_text(inputs())
    elapsed_s = time.monotonic() - started
    sys.stderr.write(f'gaxx: set up in {elapsed_s:.0f} s; go on with: . .venv/bin/activate && eval "$(gaxx env)"\n')
    return 0


def main() -> int:
    """Set up, once at a time; every failure is one line."""
    try:
        if ready():
            return 0
        with alone():
            return 0 if ready() else set_up()
    except (machine.MachineError, environment.VenvError, OSError) as error:
        sys.stderr.write(f"gaxx: set-up: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("gaxx: set-up interrupted; run it again and it goes on where it stopped\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
