"""`python -m agent.install.upkeep`: bring the distribution's security updates, and a time service where there is none.

Started by gaxx-upkeep.timer on a real machine, as root; what it says is in the service's journal.
"""

import shutil
import subprocess
import sys

from agent.install import clock
from agent.install.apt import ENVIRONMENT, Apt, last_error
from agent.install.layout import InstallError
from agent.install.system import run
from agent.install.upkeep_units import NO_ANSWER_STATUS

_PROGRAM = "unattended-upgrade"
_DELAYS_POWER_OFF = "unattended-upgrades.service"
"""Up to half an hour, until an upgrade is done: a machine that is to go, goes."""


def main() -> int:
    """Return the exit code: 0 done, 75 where no repository answers, 1 failed."""
    try:
        return keep_up(Apt(lambda _: None))
    except (InstallError, subprocess.TimeoutExpired) as error:
        return _say(str(error), 1)


def keep_up(apt: Apt) -> int:
    """Do it; return the exit code, raise InstallError when a package does not install."""
    apt.mend(apt.known())
    answers = apt.update()
    silent = "; ".join(f"{where} ({why})" for where, why in answers.missing.items())
    if not answers.some:
        return _say(f"no repository answers, nothing is updated: {silent or answers.fault}", NO_ANSWER_STATUS)
    if not clock.switch_on():
        _install(apt, clock.TIMESYNCD)
    if shutil.which(_PROGRAM, path=ENVIRONMENT["PATH"]) is None:
        _install(apt, "unattended-upgrades")
    run("systemctl", "disable", "--quiet", "--now", _DELAYS_POWER_OFF, limit_s=600.0)
    done = apt.run(_PROGRAM, "--verbose")
    sys.stdout.write(done.output)
    if done.code != 0:
        return _say(f"{_PROGRAM} failed: {last_error(done)}", 1)
    return _say(f"up to date{f'; these did not answer: {silent}' if silent else ''}", 0)


def _install(apt: Apt, package: str) -> None:
    done = apt.get("install", "--no-install-recommends", package)
    if done.code != 0:
        message = f"{package} does not install: {last_error(done)}"
        raise InstallError(message)


def _say(text: str, code: int) -> int:
    sys.stdout.write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
