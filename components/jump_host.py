"""The jump host: a machine of the user's own, through which OpenSSH's client gets to a node's sshd.

What is trusted is what the user trusts: `ssh` as the user runs it by hand finds host key, login and settings of the
jump host. Only what would weaken or outlive that is set here. The node behind it never sees any of this: its own
connection, with the pinned keys, goes through as bytes.
"""

import dataclasses
import random
import re
import shlex
import typing

from components.errors import GaxxError, NodeError, Refused

CONNECT_LIMIT_S = 10
"""Shorter than what a whole connection may take: then it is the jump host's client that says what is wrong."""
TRIES = 4
"""sshd drops log-ins at random when many come at once (MaxStartups)."""

_JUMP_HOST = re.compile(
    r"(?:(?P<user>[A-Za-z_][A-Za-z0-9._-]*)@)?(?:(?P<name>[A-Za-z0-9][A-Za-z0-9.-]*)|\[(?P<address>[0-9A-Fa-f:]+)\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_PORTS = range(1, 1 << 16)
_OPTIONS = {
    # The user's own settings apply, but not where they would ask, believe or keep more than this one way.
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "VerifyHostKeyDNS": "no",
    "NoHostAuthenticationForLocalhost": "no",
    "UpdateHostKeys": "no",
    "ControlMaster": "no",
    "ControlPath": "none",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "ConnectTimeout": str(CONNECT_LIMIT_S),
    "ServerAliveInterval": "15",
}
_DEAF = ("sh", "-c", 'trap "" INT; exec "$0" "$@"')
"""It ends with the client that it serves: ended before that one, it would be what went wrong."""
_BEYOND = re.compile(r"channel \d+: open failed: (?P<kind>[^:]+)(?:: (?P<words>.*))?")
_OWN = re.compile(r"ssh: |kex_|Connection |banner exchange")
"""How the client's own words begin, which a banner of the jump host's may come before."""
_DROPPED = re.compile(r"kex_exchange_identification: |ssh_exchange_identification: |Not allowed at this time")


class JumpHostError(NodeError):
    """The jump host itself cannot be reached, or does not lead on."""


@dataclasses.dataclass(frozen=True, slots=True)
class JumpHost:
    """[user@]host[:port]; what is left out is as the user's own ssh settings have it."""

    host: str
    port: int
    """0: not said."""
    user: str

    @classmethod
    def parse(cls, text: str) -> typing.Self:
        """Read it; raise GaxxError when it is something else."""
        match = _JUMP_HOST.fullmatch(text)
        port = match["port"] if match else None
        if match is None or (port and int(port) not in _PORTS):
            message = f"{text[:60]!r} is not [user@]host[:port]"
            raise GaxxError(message, hint="ada@bastion.example.org:22 is")
        return cls(match["name"] or match["address"], int(port or 0), match["user"] or "")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (f"{self.user}@" if self.user else "") + host + (f":{self.port}" if self.port else "")

    @property
    def by_hand(self) -> str:
        """What a user types to log in there."""
        return shlex.join(["ssh", *self._port("-p"), f"{self.user}@{self.host}" if self.user else self.host])

    def command(self, host: str, port: int, *, log_level: str = "INFO") -> list[str]:
        """OpenSSH's client, whose standard input and output are a connection from the jump host to `host`."""
        return self._line(f"[{host}]:{port}", log_level)

    def proxy_command(self, log: str = "") -> str:
        """The same as OpenSSH's ProxyCommand, whatever host it is for.

        `log` is where it says what is wrong to one of our own programs, which a Ctrl-C of the terminal's is for, too.
        """
        words = self._line("[%h]:%p", "INFO", log.replace("%", "%%"))
        return shlex.join([*_DEAF, *words] if log else words)

    def _line(self, target: str, log_level: str, log: str = "") -> list[str]:
        line = ["ssh", "-T", *(["-E", log] if log else [])]
        for name, value in {**_OPTIONS, "LogLevel": log_level}.items():
            line += ["-o", f"{name}={value}"]
        user = ["-l", self.user] if self.user else []
        return [*line, "-W", target, *user, *self._port("-p"), "--", self.host]

    def _port(self, option: str) -> list[str]:
        return [option, str(self.port)] if self.port else []

    def fault(self, node: str, said: str) -> GaxxError:
        """Turn what the client said before it gave up into one of our errors.

        A plain NodeError: the jump host is well, and nobody answers behind it.
        """
        lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("debug")]
        refused = self._refusal(node, lines)
        if refused:
            return refused
        for match in map(_BEYOND.fullmatch, lines):
            if match and match["kind"] == "connect failed":
                return NodeError(node, f"{(match['words'] or match['kind']).lower()} (from the jump host {self})")
            if match:
                message = f"the jump host {self} does not lead on to it: {match['kind']}"
                return JumpHostError(node, message, hint="its sshd needs AllowTcpForwarding and PermitOpen for it")
        if not lines:
            return NodeError(node, f"no answer in time (through the jump host {self})")
        own = [line for line in lines if _OWN.match(line)] or lines[-1:]
        return JumpHostError(node, f"the jump host {self}: {_words(own[0])}")

    def _refusal(self, node: str, lines: list[str]) -> Refused | None:
        """Whether somebody did not prove themselves: the jump host to us, or we to it."""
        if any("HOST IDENTIFICATION HAS CHANGED" in line for line in lines):
            message = f"{node}: the host key of the jump host {self} is not the one that your known_hosts has"
            return Refused(message, hint="somebody may be in between; ask whoever runs it before you trust the new one")
        if any("Host key verification failed" in line for line in lines):
            message = f"{node}: the host key of the jump host {self} is not known"
            scan = shlex.join(["ssh-keyscan", *self._port("-p"), self.host])
            hint = f"`{self.by_hand}` once by hand, or `{scan}` into ~/.ssh/known_hosts; compare the fingerprint"
            return Refused(message, hint=hint)
        denied = [line for line in lines if "Permission denied" in line]
        if denied:
            message = f"{node}: the jump host {self} does not let us in: {_words(denied[-1])}"
            return Refused(message, hint=f"`ssh-add -l` tells which keys are offered; does `{self.by_hand}` work?")
        return None


def is_dropped(said: str) -> bool:
    """Whether the jump host's sshd hung up before it had said anything: trying again may be all it takes."""
    return bool(_DROPPED.search(said))


def pause_s(tried: int) -> float:
    """How long to wait after so many tries, unlike anybody else who was dropped at the same time."""
    return 0.3 * tried * random.uniform(0.5, 1.5)  # noqa: S311 - spreads tries, guards nothing


def _words(line: str) -> str:
    return line.rpartition(": ")[2].rstrip(".").lower()
