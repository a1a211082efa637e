"""The `pulumi` program, run quietly: what it prints is the answer, its last word of complaint the error."""

import collections.abc
import pathlib
import subprocess

from components.errors import GaxxError


class PulumiError(GaxxError):
    """Pulumi said no; the message is its own last line."""


def pulumi(words: collections.abc.Sequence[str], root: pathlib.Path, *, stdin: bytes = b"") -> bytes:
    """Run pulumi in the project and return its stdout; raise PulumiError. Secrets go in by `stdin` only."""
    try:
        done = subprocess.run(
            ["pulumi", *words, "--non-interactive"], cwd=root, input=stdin, capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise absent() from error
    if done.returncode != 0:
        raise PulumiError(last_line(done.stderr) or f"pulumi {words[0]} failed with exit code {done.returncode}")
    return done.stdout


def absent() -> GaxxError:
    """The error that says that there is no Pulumi here."""
    return GaxxError("pulumi is not on PATH", hint="run `make setup`, then `. .venv/bin/activate`")


def last_line(stderr: bytes) -> str:
    """The last line that was not empty, without Pulumi's own prefix."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else ""
