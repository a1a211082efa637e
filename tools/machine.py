"""What the machine must have outside of the clone: a few Debian packages, and for root an unprivileged account."""

import contextlib
import dataclasses
import importlib.util
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence

ACCOUNT = "gaxx"
ACCOUNT_HOME = pathlib.Path("/var/lib/gaxx")
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where sshd and nft are, and what an ordinary user's PATH lacks."""

SERVICE_POLICY = pathlib.Path("/usr/sbin/policy-rc.d")


class MachineError(Exception):
    """The machine lacks something that set-up may not or cannot bring; one line."""


@dataclasses.dataclass(frozen=True)
class Need:
    """A Debian package, and the command or the file that shows that it is there."""

    package: str
    command: str = ""
    file: str = ""
    module: str = ""

    def met(self) -> bool:
        """Whether it is there, whoever brought it."""
        if self.file:
            # Whose certificates lie elsewhere says so in the environment.
            elsewhere = os.environ.get("SSL_CERT_FILE", "") if self.package == "ca-certificates" else ""
            return any(pathlib.Path(name).exists() for name in (self.file, elsewhere) if name)
        if self.module:
            return importlib.util.find_spec(self.module) is not None
        return shutil.which(self.command, path=f"{os.environ.get('PATH', os.defpath)}:{SBIN}") is not None


NEEDS = (
    Need("ca-certificates", file="/etc/ssl/certs/ca-certificates.crt"),
    Need("curl", command="curl"),
    Need("git", command="git"),
    Need("iproute2", command="ip"),
    Need("make", command="make"),
    Need("nftables", command="nft"),
    Need("openssh-client", command="ssh"),
    Need("openssh-server", command="sshd"),
    Need("passwd", command="useradd"),
    Need("procps", command="ps"),
    Need("python3-venv", module="ensurepip"),
    Need("sudo", command="visudo"),
    Need("util-linux", command="setpriv"),
)


def missing() -> list[Need]:
    """What is not there."""
    return [need for need in NEEDS if not need.met()]


def install(needs: Sequence[Need]) -> None:
    """Install Debian packages, and start none of their services. Raises MachineError; only root gets any further."""
    packages = [need.package for need in needs]
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        message = f"this machine lacks what Debian has in: {names}; install it and run this again"
        raise MachineError(message)
    if os.geteuid() != 0:
        message = f"missing Debian packages: {names}; as root: apt-get install {names}"
        raise MachineError(message)
    sys.stderr.write(f"gaxx: installing {names}\n")
    with _no_service_starts():
        apt("update")
        apt("install", "--yes", "--no-install-recommends", *packages)
    if "openssh-server" in packages and shutil.which("systemctl"):
        # The local nodes have sshds of their own; this machine was not asked whether it wants one at its next boot.
        subprocess.run(("systemctl", "disable", "--quiet", "ssh.service"), check=False, capture_output=True)
    left = [need.package for need in needs if not need.met()]
    if left:
        message = f"installed, and yet not found: {' '.join(left)}"
        raise MachineError(message)


def apt(*arguments: str, folder: pathlib.Path | None = None) -> None:
    """Run apt-get, in `folder` if given. Raises MachineError with the first of its faults."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    argv = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", *arguments)
    answer = subprocess.run(argv, check=False, capture_output=True, text=True, env=environment, cwd=folder)
    if answer.returncode != 0:
        faults = [line for line in (answer.stderr + answer.stdout).splitlines() if line.startswith("E:")]
        words = faults[0] if faults else f"exit code {answer.returncode}"
        message = f"apt-get {arguments[0]} failed: {words}"
        raise MachineError(message)


@contextlib.contextmanager
def _no_service_starts() -> Iterator[None]:
    """Debian's way of saying that a package's service is not to be started now; respects one that is there."""
    if SERVICE_POLICY.exists():
        yield
        return
    SERVICE_POLICY.write_text("#!/bin/sh\nexit 101\n")
    try:
        SERVICE_POLICY.chmod(0o755)
        yield
    finally:
        SERVICE_POLICY.unlink(missing_ok=True)


def account_ready() -> bool:
    """Whether local nodes have an account to run as; those of an ordinary user run as that user."""
    if os.geteuid() != 0:
        return True
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        return False
    home = pathlib.Path(entry.pw_dir)
    return home == ACCOUNT_HOME and home.is_dir() and home.stat().st_uid == entry.pw_uid and not _locked()


def make_account() -> None:
    """Make the account that root's local nodes run as, or put right one that is there. Raises MachineError."""
    # The password is `*`: none fits, and yet sshd does not take the account for a locked one, as it does with `!`.
    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError:
        sys.stderr.write(f"gaxx: making the account {ACCOUNT}, which local nodes run as\n")
        options = ("--system", "--user-group", "--no-create-home", "--shell", "/bin/bash", "--password", "*")
        _run("useradd", *options, "--home-dir", str(ACCOUNT_HOME), ACCOUNT)
    if _locked():
        _run("usermod", "--password", "*", ACCOUNT)
    entry = pwd.getpwnam(ACCOUNT)
    if pathlib.Path(entry.pw_dir) != ACCOUNT_HOME:
        message = f"the account {ACCOUNT} has the home {entry.pw_dir}, and {ACCOUNT_HOME} is needed; is it another's?"
        raise MachineError(message)
    ACCOUNT_HOME.mkdir(mode=0o755, exist_ok=True)
    os.chown(ACCOUNT_HOME, entry.pw_uid, entry.pw_gid)
    ACCOUNT_HOME.chmod(0o755)


def _locked() -> bool:
    for line in pathlib.Path("/etc/shadow").read_text().splitlines():
        name, password = line.split(":")[:2]
        if name == ACCOUNT:
            return password.startswith("!")
    return False


def _run(*argv: str) -> None:
    answer = subprocess.run(argv, check=False, capture_output=True, text=True)
    if answer.returncode != 0:
        words = answer.stderr.strip().splitlines()[-1:] or [f"exit code {answer.returncode}"]
        message = f"{argv[0]} failed: {words[0]}"
        raise MachineError(message)
