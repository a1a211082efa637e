"""The `pulumi` program, run quietly: what it prints is the answer, its last word of complaint the error."""

import collections.abc
import pathlib
import subprocess

from components.engine_program import program
from components.errors import GaxxError


class PulumiError(GaxxError):
    """Pulumi said no; the message is its own last line."""


def pulumi(words: collections.abc.Sequence[str], root: pathlib.Path, *, stdin: bytes = b"") -> bytes:
    """Run pulumi in the project and return its stdout; raise PulumiError. Secrets go in by `stdin` only."""
    done = subprocess.run(
        [program(), *words, "--non-interactive"], cwd=root, input=stdin, capture_output=True, check=False
    )
    if done.returncode != 0:
        raise PulumiError(last_line(done.stderr) or f"pulumi {words[0]} failed with exit code {done.returncode}")
    return done.stdout


def last_line(stderr: bytes) -> str:
    """The last line that was not empty, without Pulumi's own prefix."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else ""
