"""What an engine is here: a `pulumi` that runs, where it came from, and what it says its version is."""

import dataclasses
import os
import pathlib
import re
import subprocess
import tempfile
import typing

from tools.engine.errors import EngineError

Source = typing.Literal["path", "download", "build"]

MINIMUM = (3, 200)
"""The oldest engine that runs components from source as this project declares them."""

VERSION_TIME_LIMIT_S = 30.0


@dataclasses.dataclass(frozen=True)
class Engine:
    """A usable engine."""

    source: Source
    version: str
    """As three numbers, without the v."""
    binary: pathlib.Path


def version_of(binary: pathlib.Path) -> str:
    """Ask a `pulumi` for its version. Raises EngineError when it does not run or is too old."""
    # A home of its own, because the first start of a pulumi writes there.
    with tempfile.TemporaryDirectory(prefix="gaxx-pulumi-home-") as home:
        environment = {
            **os.environ,
            "PULUMI_HOME": home,
            "PULUMI_SKIP_UPDATE_CHECK": "1",
        }
        try:
            answer = subprocess.run(
                (str(binary), "version"),
                check=False,
                capture_output=True,
                text=True,
                timeout=VERSION_TIME_LIMIT_S,
                env=environment,
                cwd=home,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            message = f"{binary} does not run: {error}"
            raise EngineError(message) from error
    match = re.search(r"v?(\d+)\.(\d+)\.(\d+)", answer.stdout)
    if answer.returncode != 0 or match is None:
        last = (answer.stderr or answer.stdout).strip().splitlines()[-1:] or [f"exit code {answer.returncode}"]
        message = f"{binary} does not say its version: {last[0]}"
        raise EngineError(message)
    major, minor = int(match[1]), int(match[2])
    if major != MINIMUM[0] or minor < MINIMUM[1]:
        message = f"{binary} is {match[0]}, and {MINIMUM[0]}.{MINIMUM[1]} or newer of {MINIMUM[0]}.x is needed"
        raise EngineError(message)
    return ".".join(match.groups())
