"""apt and dpkg, run without questions: they wait for whoever holds their locks, and say how far they are."""

import dataclasses
import os
import pathlib
import re
import select
import signal
import subprocess
import tempfile
import time
import types
import typing
from collections.abc import Callable, Mapping

from agent.install.layout import InstallError

ENVIRONMENT: Mapping[str, str] = types.MappingProxyType(
    {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        # What they say is read here.
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        # Ubuntu's needrestart would start the runner anew in the midst of its items.
        "NEEDRESTART_SUSPEND": "1",
    }
)
"""All that a maintainer script sees: nothing of an installer's own."""
LOCK_LIMIT_S = 1800.0
"""How long somebody else's apt is waited for: a fresh machine's own may be upgrading everything."""
_STEP_LIMIT_S = 3600.0
_LOCK_POLL_S = 2.0
_SILENCE_LIMIT_S = 10.0
_CHATTER_S = 1.0
_LOCKED = re.compile(r"Could not get lock|Unable to acquire the dpkg frontend lock|was locked by another process")
_STATUS = re.compile(r"(?:dl|pm)status:.+?:([0-9.]+):(.+)")
_UNREACHED = re.compile(r"^[WE]: Failed to fetch (\S+)\s+(.+)$", re.MULTILINE)
_ANSWERED = re.compile(r"^(?:Hit|Get):", re.MULTILINE)
_HALF_DONE = frozenset({"half-installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending"})
_FIELDS = ("Package", "Architecture", "Version", "db:Status-Status", "Provides")
_KEEP_FILES = "--force-confold"
_OPTIONS = (
    "--quiet",
    "--yes",
    *("--option", "Dpkg::Use-Pty=0"),
    *("--option", f"Dpkg::Options::={_KEEP_FILES}"),
    *("--option", "Dpkg::Options::=--force-confdef"),
    *("--option", "DPkg::Lock::Timeout=60"),
    *("--option", "Acquire::Retries=1"),
    *("--option", "Acquire::http::Timeout=30"),
    *("--option", "Acquire::https::Timeout=30"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    output: str
    """Both streams, as they came."""


@dataclasses.dataclass(frozen=True, slots=True)
class Answers:
    """What became of `apt-get update`."""

    some: bool
    """Whether any repository answered."""
    missing: Mapping[str, str]
    """Those that did not, and why."""
    fault: str
    """What else went wrong; empty: nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Package:
    """One that dpkg knows."""

    name: str
    architecture: str
    version: str
    status: str
    provides: frozenset[str]


class Apt:
    """The package manager of this machine; `say` hears how far it is, at least once in ten seconds."""

    def __init__(self, say: Callable[[str], None], environment: Mapping[str, str] = ENVIRONMENT) -> None:
        self._say = say
        self._environment = dict(environment)

    def known(self) -> list[Package]:
        """What dpkg has on record, installed or not."""
        form = "\t".join(f"${{{field}}}" for field in _FIELDS) + "\n"
        done = self._once("dpkg-query", "--show", "--showformat", form)
        rows = (line.split("\t") for line in done.output.splitlines() if line.count("\t") == len(_FIELDS) - 1)
        return [
            Package(name, architecture, version, status, frozenset(re.findall(r"(?:^|, )([^ ,]+)", provides)))
            for name, architecture, version, status, provides in rows
        ]

    def update(self) -> Answers:
        """Ask the repositories what they have."""
        done = self.get("update")
        missing = unreached(done.output)
        fault = "" if done.code == 0 or missing else last_error(done)
        return Answers(bool(_ANSWERED.search(done.output)), missing, fault)

    def get(self, *arguments: str) -> Done:
        """Run apt-get once nobody else does; raise InstallError when that takes too long."""
        return self.run("apt-get", *_OPTIONS, *arguments)

    def mend(self, known: typing.Iterable[Package]) -> bool:
        """Finish what an interrupted dpkg has left; return whether there was anything."""
        journal = pathlib.Path(self._environment.get("DPKG_ADMINDIR", "/var/lib/dpkg")) / "updates"
        if not any(one.status in _HALF_DONE for one in known) and not any(journal.glob("[0-9]*")):
            return False
        self._say("finishing what an interrupted dpkg has left")
        self.run("dpkg", "--configure", "--pending", _KEEP_FILES)
        return True

    def run(self, *argv: str) -> Done:
        """Run a program that takes the locks of apt and dpkg, once they are free; raise InstallError if never."""
        deadline = time.monotonic() + LOCK_LIMIT_S
        while True:
            done = self._once(*argv)
            if done.code == 0 or not _LOCKED.search(done.output):
                return done
            if time.monotonic() > deadline:
                message = f"another package manager is at work since {LOCK_LIMIT_S:.0f} s: {last_error(done)}"
                raise InstallError(message)
            self._say("waiting for another package manager")
            time.sleep(_LOCK_POLL_S)

    def _once(self, *argv: str) -> Done:
        read_end, write_end = os.pipe()
        more = ("--option", f"APT::Status-Fd={write_end}") if argv[0] == "apt-get" else ()
        # Into a file: a service that a package starts may keep a pipe open for ever.
        with os.fdopen(read_end, "rb", buffering=0) as status, tempfile.TemporaryFile() as output:
            try:
                process = subprocess.Popen(
                    [argv[0], *more, *argv[1:]],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=self._environment,
                    cwd="/",
                    pass_fds=(write_end,) if more else (),
                    # Whoever enrols may go away; a package half unpacked is worse than one too many.
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                message = f"this machine has no {argv[0]}"
                raise InstallError(message) from error
            finally:
                os.close(write_end)
            self._watch(process, status, argv[0])
            output.seek(0)
            return Done(process.returncode, output.read().decode(errors="replace"))

    def _watch(self, process: "subprocess.Popen[bytes]", status: typing.BinaryIO, name: str) -> None:
        """Wait for the end of a command; raise InstallError when it takes too long."""
        ended = os.pidfd_open(process.pid)
        sources: list[int] = [ended, status.fileno()]
        deadline, spoken_at, words = time.monotonic() + _STEP_LIMIT_S, 0.0, f"{name} works"
        try:
            while True:
                readable = select.select(sources, [], [], _SILENCE_LIMIT_S)[0]
                if status.fileno() in readable:
                    data = status.read(1 << 16)
                    if not data:
                        sources.remove(status.fileno())
                    found = _STATUS.findall(data.decode(errors="replace"))
                    words = f"{float(found[-1][0]):.0f} %, {found[-1][1].strip()}" if found else words
                if ended in readable:
                    process.wait()
                    return
                now = time.monotonic()
                if now > deadline:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    message = f"{name} is not done after {_STEP_LIMIT_S:.0f} s: {words}"
                    raise InstallError(message)
                if now - spoken_at >= _CHATTER_S:
                    self._say(words)
                    spoken_at = now
        finally:
            os.close(ended)


def unreached(output: str) -> dict[str, str]:
    """Repositories that could not be fetched from, and why: `scheme://host` to a reason."""
    found = {}
    for address, reason in _UNREACHED.findall(output):
        parts = address.split("/")
        found["/".join(parts[:3]) if "://" in address else address] = reason.strip()
    return found


def last_error(done: Done) -> str:
    """The line of its output that says best what went wrong."""
    lines = [line.strip() for line in done.output.splitlines() if line.strip()]
    errors = [line.removeprefix("E: ") for line in lines if line.startswith(("E: ", "dpkg: error"))]
    # The last of several only says that there were some.
    return (errors or lines[-1:] or [f"exit {done.code}"])[0]
