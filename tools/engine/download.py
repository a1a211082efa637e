"""The second source: the official download, by Pulumi's own installer."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from tools.engine.errors import EngineError
from tools.engine.found import Engine, version_of
from tools.engine.progress import Progress

SERVER = "https://get.pulumi.com/"

PROBE_TIME_LIMIT_S = 6.0
"""Name resolution included, which urllib's own time-out does not cover."""

INSTALL_TIME_LIMIT_S = 600.0

PROBE = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1] + "latest-version", headers={"User-Agent": "gaxx-setup"})
urllib.request.urlopen(request, timeout=5).close()
"""

INSTALL = """
import sys
from pulumi.automation import PulumiCommand
from semver import VersionInfo
PulumiCommand.install(root=sys.argv[1], version=VersionInfo.parse(sys.argv[2]))
"""


def folder(cache: pathlib.Path, version: str) -> pathlib.Path:
    """Where the download of a version is kept."""
    return cache / f"{version}-official"


def cached(cache: pathlib.Path, version: str) -> Engine | None:
    """The download of an earlier set-up."""
    binary = folder(cache, version) / "bin" / "pulumi"
    return Engine("download", version_of(binary), binary) if binary.exists() else None


def fetch(cache: pathlib.Path, version: str, python: pathlib.Path, *, server: str = SERVER) -> Engine:
    """Download the engine. `python` is one that has the Pulumi SDK.

    Raises EngineError, within seconds where the server cannot be reached.
    """
    with tempfile.TemporaryDirectory(prefix=".download-", dir=cache) as scratch:
        # The installer puts things below HOME, and this is nobody's business but ours.
        environment = {**os.environ, "HOME": scratch, "PULUMI_HOME": scratch, "PULUMI_SKIP_UPDATE_CHECK": "1"}
        with Progress("gaxx: engine: downloading") as progress:
            progress.say(f"is {server} there?")
            _run((str(python), "-I", "-c", PROBE, server), environment, PROBE_TIME_LIMIT_S, f"{server} not reached")
            progress.say(f"Pulumi {version}")
            staged = pathlib.Path(scratch, "engine")
            _run(
                (str(python), "-I", "-c", INSTALL, str(staged), version),
                environment,
                INSTALL_TIME_LIMIT_S,
                f"Pulumi's installer failed for {version}",
            )
        version_of(staged / "bin" / "pulumi")
        target = folder(cache, version)
        shutil.rmtree(target, ignore_errors=True)
        staged.rename(target)
    return Engine("download", version, target / "bin" / "pulumi")


def _run(argv: tuple[str, ...], environment: dict[str, str], limit_s: float, failure: str) -> None:
    with subprocess.Popen(
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            _, errors = process.communicate(timeout=limit_s)
        except BaseException as error:
            # The whole session: the installer is a shell script with a download tool below it.
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                message = f"{failure} within {limit_s:.0f} s"
                raise EngineError(message) from error
            raise
    if process.returncode != 0:
        last = errors.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        message = f"{failure}: {last[0]}"
        raise EngineError(message)
