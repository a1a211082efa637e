"""Commands of the system that a machine is: systemctl, nft, useradd."""

import subprocess

from agent.install.layout import InstallError

OPERATOR_USER = "gaxx"
"""Whom operators log in as: no password, no right beyond its own."""


def run(*argv: str, check: bool = True, limit_s: float = 60.0) -> "subprocess.CompletedProcess[bytes]":
    """Run a command of the system; raise InstallError with its last word when it fails and `check` is set."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=limit_s)
    if check and done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        message = f"`{' '.join(argv[:3])}` failed: {words[-1] if words else f'exit {done.returncode}'}"
        raise InstallError(message)
    return done


def last_words(unit: str) -> str:
    """What a unit said last, in one line."""
    said = run("journalctl", "--unit", unit, "--lines", "3", "--output", "cat", "--no-pager", check=False).stdout
    return "; ".join(said.decode(errors="replace").strip().splitlines()) or "it left no word"
