"""What a machine boots from: keys only, no root, no credential but single-use ones, no service without mutual TLS.

At the first preview user-data is not known yet (keys are made in the update): then these rules are silent and
`user-data-judged-later` says so. In the update they judge it before the machine exists.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from policy import credentials
from policy.declared import UNKNOWN, Declared, has_unknown
from policy.machines import LINODE, VULTR, Machine, machine
from policy.openings import GAXX_ENROLMENT
from policy.rule import Rule, Settings
from policy.user_data import UnreadableError, files, parse, strings

_OFF = frozenset({"false", "no", "off", "0"})
_WEAK_SSHD = {
    "passwordauthentication": ("yes",),
    "permitrootlogin": ("yes",),
    "permitemptypasswords": ("yes",),
    "kbdinteractiveauthentication": ("yes",),
    "challengeresponseauthentication": ("yes",),
    "hostbasedauthentication": ("yes",),
}
_PASSWORD_KEYS = ("passwd", "hashed_passwd", "plain_text_passwd")
_COMMAND_KEYS = ("runcmd", "bootcmd")
_WEAK_COMMAND = re.compile(
    r"(?i)\bchpasswd\b|\bpasswd\s+(?:-u|--unlock|-d|--delete|--stdin)|\busermod\b.*\s(?:-p|--password|-U|--unlock)\b"
    r"|(?:PasswordAuthentication|PermitRootLogin|PermitEmptyPasswords)[\s=]+yes\b"
)
_BOOT_SCRIPTS = {LINODE: "stackscriptId", VULTR: "scriptId"}
_NO_MTLS = re.compile(r"(?i)\bGAXX_AGENT_REQUIRE_MTLS[\"']?\s*[=:]\s*[\"']?(?!true\b)\w*")
_MTLS_VARIABLE = "GAXX_AGENT_REQUIRE_MTLS"
_SHOWN_NAMES = 6


def user_data_hardened(resource: Declared, settings: Settings) -> Iterable[str]:
    """Only keys open it, and root has none."""
    del settings
    subject = machine(resource)
    if subject is None:
        return
    script = _BOOT_SCRIPTS.get(resource.type, "")
    if resource.props.get(script):
        yield f"{script}: a script that no rule looks into runs at boot"
    if subject.user_data is UNKNOWN:
        return
    try:
        parsed = parse(subject)
        yield from _login_faults(parsed)
        for file in files(parsed):
            if file.path.startswith("/etc/ssh/"):
                yield from _sshd_faults(file.path, file.content)
    except UnreadableError as error:
        yield f"user-data: {error}"


def no_credentials(resource: Declared, settings: Settings) -> Iterable[str]:
    """Neither user-data nor declared files and environment hold a credential; the first host key is single-use."""
    del settings
    if resource.type == GAXX_ENROLMENT:
        yield from _declared_credentials(resource.props)
        return
    subject = machine(resource)
    if subject is None or not isinstance(subject.user_data, str):
        return
    try:
        yield from _user_data_credentials(subject)
    except UnreadableError as error:
        yield f"user-data: {error}"


def mtls_required(resource: Declared, settings: Settings) -> Iterable[str]:
    """Nothing switches the agent's mutual TLS off."""
    del settings
    if resource.type == GAXX_ENROLMENT:
        for path, text in strings({key: resource.props.get(key) for key in ("env", "files")}):
            off = path[-1] == _MTLS_VARIABLE and text not in {_MTLS_VARIABLE, "true"}
            if off or _NO_MTLS.search(text):
                yield f"{'.'.join(path)} switches mutual TLS off"
        principals = resource.props.get("principals")
        if isinstance(principals, list) and not principals:
            yield "principals: nobody is named, so nobody's certificate is asked for"
        return
    subject = machine(resource)
    if subject is None or not isinstance(subject.user_data, str):
        return
    try:
        parsed = parse(subject)
        found = [".".join(path) for path, text in strings(parsed) if _NO_MTLS.search(text)]
        found += [file.path for file in files(parsed) if _NO_MTLS.search(file.content)]
    except UnreadableError:
        return  # refused by `user-data-hardened`, which says why
    yield from (f"user-data: {where} switches mutual TLS off" for where in dict.fromkeys(found))


def judged_later(resources: Sequence[Declared], settings: Settings) -> Iterable[str]:
    """Say whose user-data is not known yet."""
    del settings
    names = [r.name for r in resources if (found := machine(r)) is not None and has_unknown(found.user_data)]
    # The engine's order is whichever was declared first; a review of the same change is the same text.
    names.sort(
        key=lambda name: [part.rjust(9, "0") if part.isdigit() else part for part in re.split(r"([0-9]+)", name)]
    )
    if names:
        more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
        yield f"user-data of {', '.join(names[:_SHOWN_NAMES])}{more} is judged in the update, before each exists"


def _login_faults(parsed: Mapping[str, Any]) -> Iterable[str]:
    if str(parsed.get("ssh_pwauth", "missing")).lower() not in _OFF:
        yield "user-data: ssh_pwauth is not false"
    if str(parsed.get("disable_root", "missing")).lower() != "true":
        yield "user-data: disable_root is not true"
    for key in ("password", "chpasswd"):
        if parsed.get(key):
            yield f"user-data: {key} sets a password"
    for entry in _users(parsed):
        yield from _user_faults(entry)
    for key in _COMMAND_KEYS:
        commands = parsed.get(key)
        for index, command in enumerate(commands if isinstance(commands, list) else []):
            # A command is a line for a shell, or a list of arguments.
            if _WEAK_COMMAND.search(" ".join(text for _, text in strings(command))):
                yield f"user-data: {key}[{index}] lets passwords in"


def _users(parsed: Mapping[str, Any]) -> list[dict[str, Any]]:
    users = parsed.get("users")
    entries = list(users) if isinstance(users, list) else []
    if isinstance(users, dict):
        entries = [{"name": name, **(value if isinstance(value, dict) else {})} for name, value in users.items()]
    return [entry for entry in (*entries, parsed.get("user")) if isinstance(entry, dict)]


def _user_faults(entry: Mapping[str, Any]) -> Iterable[str]:
    name = str(entry.get("name", "?"))
    for key in _PASSWORD_KEYS:
        if entry.get(key):
            yield f"user-data: the user {name} has a password ({key})"
    if str(entry.get("lock_passwd", "true")).lower() in _OFF:
        yield f"user-data: the password of the user {name} is not locked"
    if name == "root" and (entry.get("ssh_authorized_keys") or entry.get("ssh_import_id")):
        yield "user-data: root has keys"


def _sshd_faults(path: str, content: str) -> Iterable[str]:
    for line in content.splitlines():
        words = line.split("#", 1)[0].replace("=", " ", 1).replace('"', "").split()
        if len(words) > 1 and words[1].lower() in _WEAK_SSHD.get(words[0].lower(), ()):
            yield f"user-data: {path} says {words[0]} {words[1]}"


def _user_data_credentials(subject: Machine) -> Iterable[str]:
    parsed = parse(subject)
    for path, text in strings(parsed):
        if path[:1] == ("ssh_keys",):
            continue  # the first host key, known to the controller and replaced by enrolment
        found = credentials.recognise(text)
        if found:
            yield f"user-data: {'.'.join(path)} holds {found}"
    for file in files(parsed):
        found = credentials.recognise(file.content)
        # Plain content was looked at above.
        if found and file.content not in {text for _, text in strings(parsed.get("write_files"))}:
            yield f"user-data: {file.path} holds {found}"


def _declared_credentials(props: Mapping[str, object]) -> Iterable[str]:
    for key in ("env", "files"):
        if has_unknown(props.get(key)):
            yield f"{key}: not known at preview"
        for path, text in strings(props.get(key)):
            found = credentials.recognise(text)
            if found:
                yield f"{key}.{'.'.join(path)} holds {found}"
    env = props.get("env")
    for name, value in env.items() if isinstance(env, dict) else []:
        if isinstance(value, str) and credentials.is_assigned(name, value):
            yield f"env.{name} is called like a credential, and holds one"


RULES = (
    Rule(
        "user-data-hardened",
        "mandatory",
        "only a key opens a machine, and never as root",
        "boot from a #cloud-config that says ssh_pwauth: false and disable_root: true and sets no password",
        one=user_data_hardened,
    ),
    Rule(
        "no-credentials",
        "mandatory",
        "vendors keep user-data, and every reviewer reads declarations",
        "send it when the node is enrolled (`gaxx put`), or let the work fetch it from a secrets manager",
        one=no_credentials,
    ),
    Rule(
        "mtls-required",
        "mandatory",
        "an agent without mutual TLS executes for whoever reaches it",
        "leave GAXX_AGENT_REQUIRE_MTLS out or true, and name operators",
        one=mtls_required,
    ),
    Rule(
        "user-data-judged-later",
        "advisory",
        "a review knows what it has not seen",
        "nothing: `pulumi up` judges it before the machine is made",
        stack=judged_later,
    ),
)
