"""Checks of this machine and of the stack in use: each says what is so, and what to do where it should not be."""

import collections.abc
import dataclasses
import datetime as dt
import json
import os
import pathlib
import re
import resource
import shutil
import stat
import subprocess
import sys
import typing

from components import backend, places
from components.engine_program import program
from components.errors import GaxxError
from tasks import identity, inventory, private

State = typing.Literal["ok", "warn", "fail"]
OLDEST_ENGINE = (3, 200)
_FILES_WANTED = 1024
_FREE_BYTES_WANTED = 1 << 30


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One line of the answer; `fix` is empty where there is nothing to mend."""

    name: str
    state: State
    text: str
    fix: str = ""


def checks(stack: str = "") -> collections.abc.Iterator[Check]:
    """Look at everything, one after the other; never raises for what it finds."""
    yield _python()
    yield _engine()
    yield from _programs()
    yield _local_account()
    yield from _backend()
    yield from _operator_keys()
    yield _secrets_file()
    yield from _credentials()
    yield _open_files()
    yield _disk()
    yield from _stack(stack)


def _python() -> Check:
    text = f"{sys.version.split()[0]} in {sys.prefix}"
    return Check("python", "ok", text)  # pyproject.toml and set-up see to it that it is new enough


def _engine() -> Check:
    record = pathlib.Path(sys.prefix) / "share" / "gaxx" / "engine.json"
    try:
        path = program()
    except GaxxError as error:
        return Check("engine", "fail", error.message, error.hint)
    try:
        done = subprocess.run([path, "version"], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("engine", "fail", f"{path} does not run: {error}", "run `make setup`")
    version = done.stdout.strip()
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if done.returncode != 0 or numbers is None:
        return Check("engine", "fail", f"{path} does not run: {done.stderr.strip() or version}", "run `make setup`")
    if (int(numbers[1]), int(numbers[2])) < OLDEST_ENGINE:
        wanted = ".".join(map(str, OLDEST_ENGINE))
        return Check("engine", "fail", f"{path} is {version}", f"{wanted} or newer is needed: run `make setup`")
    return Check("engine", "ok", f"{version}, {_engine_source(record)} ({path})")


def _engine_source(record: pathlib.Path) -> str:
    try:
        return f"from {json.loads(record.read_text(encoding='utf-8'))['source']}"
    except FileNotFoundError:
        return "not from set-up"
    except (ValueError, KeyError, TypeError):
        return f"of unknown source ({record} is damaged)"


def _programs() -> collections.abc.Iterator[Check]:
    for name, package, what in (
        ("ssh", "openssh-client", "`gaxx ssh`, nodes behind SSH"),
        ("ssh-keygen", "openssh-client", "checking what enrolment installs"),
        ("sshd", "openssh-server", "local nodes"),
        ("git", "git", "reviewing stack files"),
    ):
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
        if path is None:
            yield Check(name, "fail", f"missing; needed for {what}", f"apt-get install {package}")
        else:
            yield Check(name, "ok", path)


def _local_account() -> Check:
    try:
        account = places.local_account()
    except KeyError:
        text = f"root's local nodes need an account called {places.LOCAL_ACCOUNT}, and there is none"
        return Check("local account", "fail", text, "run `make setup`")
    return Check("local account", "ok", f"local nodes run as {account.name}")


def _backend() -> collections.abc.Iterator[Check]:
    try:
        root = backend.project_root()
        url = backend.current_backend_url(root)
    except GaxxError as error:
        yield Check("backend", "fail", error.message, error.hint)
        return
    if not url:
        yield Check("backend", "fail", "none chosen", 'eval "$(gaxx env)", or `pulumi login`')
        return
    if not url.startswith("file://"):
        yield Check("backend", "ok", url.split("?", 1)[0])
        return
    folder = root / pathlib.Path(url.removeprefix("file://").split("?", 1)[0]).expanduser()
    if not folder.is_dir():
        yield Check("backend", "fail", f"{folder} is not there", 'eval "$(gaxx env)"')
    elif fault := private.exposure(folder.stat()):
        yield Check("backend", "fail", f"{folder} is {fault}: state would be readable", f"chmod 700 {folder}")
    elif root in (folder, *folder.parents):
        text = f"{folder} is inside the clone, which is then the only thing that knows of the machines"
        yield Check("backend", "warn", text, "use a shared backend for what costs money")
    else:
        yield Check("backend", "ok", url)
    yield _passphrase()


def _passphrase() -> Check:
    if os.environ.get("PULUMI_CONFIG_PASSPHRASE"):
        return Check("passphrase", "ok", "in PULUMI_CONFIG_PASSPHRASE")
    path = os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE", "")
    if not path:
        return Check("passphrase", "warn", "none set: Pulumi will ask", "set PULUMI_CONFIG_PASSPHRASE_FILE")
    return _private_file("passphrase", pathlib.Path(path), 'eval "$(gaxx env)"')


def _operator_keys() -> collections.abc.Iterator[Check]:
    try:
        operator = identity.load()
    except GaxxError as error:
        yield Check("operator keys", "fail", error.message, error.hint)
        return
    faults: list[Check] = []
    if fault := private.exposure(operator.folder.stat()):
        faults.append(Check("operator keys", "fail", f"{operator.folder} is {fault}", f"chmod 700 {operator.folder}"))
    for path in (operator.ssh_key, operator.tls_key):
        check = _private_file("operator keys", path, f"move {operator.folder} away, then `gaxx env`")
        if check.state != "ok":
            faults.append(check)
    yield from faults or [Check("operator keys", "ok", f"{operator.name} in {operator.folder}")]


def _secrets_file() -> Check:
    path = places.config_dir() / "secrets.env"
    if not path.exists():
        return Check("secrets.env", "ok", "none")
    return _private_file("secrets.env", path, "")


def _credentials() -> collections.abc.Iterator[Check]:
    """Ask each vendor whose token is here what it may, by a call that changes nothing; without one nobody is asked."""
    from components.vendors import TOKENS, vendor

    for name, variable in TOKENS.items():
        try:
            api = vendor(name)
            if api is None:
                continue
            found = api.credentials()
        except GaxxError as error:
            fix = error.hint or f"check {variable}, and that {name} can be reached from here"
            yield Check(f"{name} token", "fail", error.message, fix)
            continue
        whose = f"of {found.account}" if found.account else "valid"
        if found.lacking:
            text = f"{whose}, but may not {', '.join(found.lacking)}"
            yield Check(f"{name} token", "warn", text, f"to make machines, {variable} needs a token that may")
        else:
            yield Check(f"{name} token", "ok", f"{whose}, may all that fleets need")


def _private_file(name: str, path: pathlib.Path, fix: str) -> Check:
    try:
        status = path.stat()
    except OSError as error:
        return Check(name, "fail", f"{path}: {error.strerror}", fix)
    if not stat.S_ISREG(status.st_mode):
        return Check(name, "fail", f"{path} is no file", fix)
    if fault := private.exposure(status):
        return Check(name, "fail", f"{path} is {fault}", f"chmod 600 {path}")
    return Check(name, "ok", str(path))


def _open_files() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{soft} at once"
    if soft < _FILES_WANTED:
        return Check("open files", "warn", f"{text}: too few for hundreds of nodes", f"ulimit -n {min(hard, 65536)}")
    return Check("open files", "ok", text)


def _disk() -> Check:
    place = next(folder for folder in (places.state_dir(), *places.state_dir().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / (1 << 30):.1f} GiB free in {place}"
    if free < _FREE_BYTES_WANTED:
        return Check("disk", "warn", text, "make room: bundles, results and state are kept there")
    return Check("disk", "ok", text)


def _stack(name: str) -> collections.abc.Iterator[Check]:
    try:
        stack = inventory.stack_named(name)
    except GaxxError as error:
        # Nothing is wrong with a machine on which nobody has chosen a stack yet.
        yield Check("stack", "warn", error.message, error.hint)
        return
    yield Check("stack", "ok", f"{stack.name} of project {stack.project}")
    try:
        found = inventory.find(stack)
    except GaxxError as error:
        yield Check("inventory", "warn" if error.exit_code == 1 else "fail", error.message, error.hint)
        return
    source = "cached" if found.cached else "from the stack"
    yield Check("inventory", "ok", f"{len(found.inventory.nodes)} nodes, {source}")
    yield from _certificate(found)


def _certificate(found: inventory.Found) -> collections.abc.Iterator[Check]:
    from agent.client import own_certificate_fault

    try:
        operator = identity.load()
        me = identity.principal(found.inventory, operator)
        fault = own_certificate_fault(
            identity.agent_identity(found.inventory, operator), found.inventory.authority_certificate
        )
    except GaxxError as error:
        yield Check("certificate", "fail", error.message, error.hint)
        return
    yield (
        Check("certificate", "fail", fault, "pulumi up")
        if fault
        else Check("certificate", "ok", f"{me.name}, {me.role}")
    )
    yield _clock(found)


def _clock(found: inventory.Found, now: dt.datetime | None = None) -> Check:
    # Without the internet there is nobody to ask: but nothing can have been made in the future.
    here = now or dt.datetime.now(dt.UTC)
    made = [dt.datetime.fromisoformat(node.created) for node in found.inventory.nodes if node.created]
    if made and max(made) > here + dt.timedelta(minutes=1):
        text = f"it is {here:%Y-%m-%d %H:%M} UTC here, and a node was made at {max(made):%Y-%m-%d %H:%M} UTC"
        return Check("clock", "fail", text, "set the clock: certificates depend on it")
    return Check("clock", "ok", f"{here:%Y-%m-%d %H:%M} UTC")


def is_failing(found: collections.abc.Iterable[Check]) -> bool:
    """Whether any check failed; a warning is no failure."""
    return any(check.state == "fail" for check in found)
