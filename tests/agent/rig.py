"""An agent in this process with a real runner, mutual TLS on a loopback address, and callers of every kind."""

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from agent.client import AgentChannel, Identity, open_channel
from agent.config import AgentConfig
from agent.logs import Memory
from agent.proto.agent_pb2 import Command, ExecEvent, ExecRequest, Exit
from agent.server import Agent
from tests.agent.pki import TLS_NAME, Pair, ThrowAwayAuthority

PATIENCE_S = 15.0


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition that nothing announces; fail saying what did not come."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:g} s for: {what}"
        await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether a process lives: a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@dataclasses.dataclass
class Outcome:
    """What one Exec brought."""

    stdout: bytes = b""
    stderr: bytes = b""
    pid: int = 0
    kinds: list[str] = dataclasses.field(default_factory=list)
    exit: Exit = dataclasses.field(default_factory=Exit)
    finished: bool = False

    def add(self, event: ExecEvent) -> None:
        kind = event.WhichOneof("event") or ""
        self.kinds.append(kind)
        if kind == "started":
            self.pid = event.started.pid
        elif kind == "stdout":
            self.stdout += event.stdout
        elif kind == "stderr":
            self.stderr += event.stderr
        else:
            self.exit = event.exited
            self.pid = self.pid or self.exit.pid
            self.finished = True


class Rig:
    """One agent and its authority. `manifest` may be changed; `write_manifest` puts it where the agent reads it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.authority = ThrowAwayAuthority()
        self.address = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250)}.{secrets.randbelow(250) + 1}"
        self.pair = self.authority.node(self.address)
        self.manifest: dict[str, Any] = {
            "version": 1,
            "node": "demo-1",
            "serial": 1,
            "principals": [],
            "deniedSerials": [],
            "env": {"DECLARED": "by the manifest"},
            "groups": ["gpu"],
        }
        self.identities: dict[str, Identity] = {}
        self.pairs: dict[str, Pair] = {}
        self.admit("ada", "operator")
        self.admit("oscar", "observer")
        self.memory = Memory()
        folder.mkdir(exist_ok=True)
        self.write_manifest()
        for name, text in (("cert", self.pair.certificate_pem), ("key", self.pair.key_pem), ("ca", self.authority.pem)):
            (folder / name).write_text(text)
        (folder / "tokens").write_text("")
        made: dict[str, Any] = {
            "tls_cert": folder / "cert",
            "tls_key": folder / "key",
            "client_ca": folder / "ca",
            "token": secrets.token_urlsafe(),
            "address": self.address,
            "port": 0,
            "metrics_port": 0,
            "manifest": folder / "manifest.json",
            "work_dir": folder / "work",
            "run_dir": folder / "run",
            "slots": 2,
        }
        self.config = AgentConfig(**{**made, **settings})
        self.agent = Agent(self.config, self.memory)

    def admit(self, name: str, role: str) -> Identity:
        """Make a principal with certificate and token, and put it on the manifest's list."""
        token = secrets.token_urlsafe()
        pair = self.pairs[name] = self.authority.client(name, role)
        self.identities[name] = Identity(pair.certificate_pem, pair.key_pem, token)
        digest = hashlib.sha256(token.encode()).hexdigest()
        entry = {"name": name, "role": role, "tokenSha256": digest, "certificateSerial": f"{pair.serial:x}"}
        self.manifest["principals"].append(entry)
        return self.identities[name]

    def write_manifest(self) -> None:
        """Write the manifest as it is now."""
        (self.folder / "manifest.json").write_text(json.dumps(self.manifest))

    async def reload(self) -> None:
        """Put the manifest as it is now in force."""
        self.write_manifest()
        await self.agent.reload()

    @contextlib.asynccontextmanager
    async def open(self, identity: Identity | None = None) -> AsyncIterator[AgentChannel]:
        """Open a channel, as ada unless told otherwise."""
        who = identity or self.identities["ada"]
        async with open_channel(self.address, self.agent.port, TLS_NAME, self.authority.pem, who) as channel:
            yield channel

    def audit(self) -> list[dict[str, Any]]:
        """Return the refusals so far."""
        return [json.loads(line) for line in self.memory.lines("audit")]


def start_request(argv: Sequence[bytes], *, detached: bool = False, **command: Any) -> ExecRequest:
    """Return the first request of an Exec."""
    return ExecRequest(start=ExecRequest.Start(command=Command(argv=argv, **command), detached=detached))


async def execute(channel: AgentChannel, *argv: bytes, stdin: bytes | None = None, **command: Any) -> Outcome:
    """Execute to the end."""

    async def requests() -> AsyncIterator[ExecRequest]:
        yield start_request(argv, has_stdin=stdin is not None, **command)
        if stdin is not None:
            for at in range(0, len(stdin), 65536):
                yield ExecRequest(stdin=stdin[at : at + 65536])
            yield ExecRequest(stdin_eof=True)

    outcome = Outcome()
    async for event in channel.stub.Exec(requests(), metadata=channel.metadata):
        outcome.add(event)
    return outcome
