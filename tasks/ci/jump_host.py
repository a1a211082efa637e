"""CI's way through a stack's `gaxx:jumpHost`: `python -m tasks.ci.jump_host` loads the key and makes the host known.

GAXX_JUMP_HOST_KEY is a private key of OpenSSH's without a passphrase, GAXX_JUMP_HOST_KNOWN_HOSTS the jump host's lines
for `known_hosts`. The key stays in an ssh-agent, which forgets it after two hours, and is on no disk. The later steps
of a GitHub job find that agent by themselves; elsewhere `eval "$(python -m tasks.ci.jump_host)"` tells the shell of it.
"""

import os
import pathlib
import pwd
import re
import shlex
import subprocess
import sys

from components.errors import GaxxError

KEY = "GAXX_JUMP_HOST_KEY"
KNOWN_HOSTS = "GAXX_JUMP_HOST_KNOWN_HOSTS"
# No job of ours takes longer than one hour.
_LIFETIME_S = 2 * 3600
_SAID = re.compile(r"^(SSH_AUTH_SOCK|SSH_AGENT_PID)=([^;]+);", re.MULTILINE)


def load(key: str) -> dict[str, str]:
    """Start an agent that holds the key; return the variables by which programs find it. Raise GaxxError."""
    started = _ssh("ssh-agent", "-s")
    found = dict(_SAID.findall(started.stdout))
    # In a secret that was pasted the last line often has no end, and OpenSSH insists.
    added = _ssh("ssh-add", "-q", "-t", str(_LIFETIME_S), "-", stdin=key.strip() + "\n", variables=found)
    if added.returncode:
        _ssh("ssh-agent", "-k", variables=found)
        # Not its own words: they may quote what it was given.
        message = f"{KEY} is no private key that OpenSSH can read without a passphrase"
        raise GaxxError(
            message, hint="ssh-keygen -t ed25519 -N '' -f ci-jump-host; its public half goes to the jump host"
        )
    return found


def know(text: str, path: pathlib.Path) -> None:
    """Add the lines that a file of known hosts lacks; raise GaxxError when they are no such lines."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in lines:
        if _ssh("ssh-keygen", "-l", "-f", "-", stdin=f"{line}\n").returncode:
            message = f"{KNOWN_HOSTS}: {line[:80]!r} is no line of a known_hosts file"
            raise GaxxError(message, hint="`ssh-keyscan bastion.example.org`, compared with what its owner says")
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        before = path.read_text(errors="surrogateescape") if path.exists() else ""
        missing = [line for line in lines if line not in before.splitlines()]
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="utf-8") as file:
            file.write("\n" if before and missing and not before.endswith("\n") else "")
            file.writelines(f"{line}\n" for line in missing)
    except OSError as error:
        message = f"{error.filename or path}: {error.strerror}"
        raise GaxxError(message) from error


def main() -> int:
    """Load and know; without either variable there is nothing to do: most stacks have no jump host."""
    try:
        if given := _given():
            # The home that OpenSSH looks into, whatever $HOME says.
            know(given[KNOWN_HOSTS], pathlib.Path(pwd.getpwuid(os.geteuid()).pw_dir) / ".ssh" / "known_hosts")
            _tell(load(given[KEY]))
    except GaxxError as error:
        sys.stderr.write(f"gaxx: {error}\n")
        return error.exit_code
    return 0


def _given() -> dict[str, str]:
    # A secret that is not set is empty.
    given = {name: text for name in (KEY, KNOWN_HOSTS) if (text := os.environ.get(name, "").strip())}
    if len(given) == 1:
        (there,) = given
        (other,) = {KEY, KNOWN_HOSTS} - {there}
        message = f"{other} is not set, and {there} is"
        raise GaxxError(message, hint="docs/ci.md says where both come from")
    return given


def _tell(variables: dict[str, str]) -> None:
    if path := os.environ.get("GITHUB_ENV"):
        with pathlib.Path(path).open("a", encoding="utf-8") as file:
            file.writelines(f"{name}={value}\n" for name, value in variables.items())
    else:
        sys.stdout.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def _ssh(*argv: str, stdin: str = "", variables: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    # The agent outlives us, and whoever reads its environment is not to find the key there. Nobody is asked anything.
    environment = {name: value for name, value in os.environ.items() if name not in {KEY, "DISPLAY"}}
    try:
        return subprocess.run(
            argv,
            input=stdin,
            env={**environment, "SSH_ASKPASS_REQUIRE": "never", **(variables or {})},
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        message = f"{argv[0]} is not on PATH"
        raise GaxxError(message, hint="apt-get install openssh-client") from error


if __name__ == "__main__":
    sys.exit(main())
