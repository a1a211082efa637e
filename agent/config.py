"""What the agent is told by its environment, read once and checked whole."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.errors import ConfigMissing, ConfigUnsafe

DEFAULT_PORT = 8088
DEFAULT_METRICS_PORT = 9091

_SECRETS = (
    ("GAXX_AGENT_TLS_CERT", "the node's certificate"),
    ("GAXX_AGENT_TLS_KEY", "its private key"),
    ("GAXX_AGENT_CLIENT_CA", "the authority's certificate"),
)


@dataclass(frozen=True)
class AgentConfig:
    """The agent's settings. Ports may be 0 (the kernel chooses one, for tests)."""

    tls_cert: Path
    tls_key: Path
    client_ca: Path
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    require_mtls: bool = True
    address: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    metrics_port: int = DEFAULT_METRICS_PORT
    runner_socket: Path | None = None
    manifest: Path | None = None
    work_dir: Path = Path("work")
    run_dir: Path = Path("run")
    build: str = "dev"
    ssh_host_key: Path | None = None
    audit_dir: Path | None = None
    ssh_log: str = ""
    """Where sshd's words are read: a file's path, "journal", or nowhere."""
    slots: int = 0
    end_file: Path | None = None
    """Made when the node has been idle for too long; whoever watches it ends the node. Unset: nobody does."""
    terminals: Path | None = None
    """Where the kernel shows the terminals that are open on this machine, where they are nobody else's."""

    @property
    def idleness_file(self) -> Path:
        """How long the node has been idle, across restarts: beside the work folder, never in it."""
        return self.work_dir.parent / "idleness.json"

    @property
    def audit_folder(self) -> Path:
        """Where the audit trail lies: beside the work folder unless told otherwise, never in it."""
        return self.audit_dir or self.work_dir.parent / "audit"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "AgentConfig":
        """Read GAXX_AGENT_*. Raises ConfigMissing naming every fault, ConfigUnsafe for an unsafe wish."""
        faults: list[str] = []
        for name, what in _SECRETS:
            if not environ.get(name):
                faults.append(f"{name} (path of {what}) is not set")
            elif not Path(environ[name]).is_file():
                faults.append(f"{name}: no such file {environ[name]}")
        token_file = _path(environ, "GAXX_AGENT_TOKEN_FILE")
        if not environ.get("GAXX_AGENT_TOKEN") and token_file is None:
            faults.append("neither GAXX_AGENT_TOKEN nor GAXX_AGENT_TOKEN_FILE is set")
        elif token_file is not None and not token_file.is_file():
            faults.append(f"GAXX_AGENT_TOKEN_FILE: no such file {token_file}")
        require_mtls = _boolean(environ, "GAXX_AGENT_REQUIRE_MTLS", default=True, faults=faults)
        address = environ.get("GAXX_AGENT_ADDRESS") or "127.0.0.1"
        loopback = _is_loopback(address, faults)
        port = _number(environ, "GAXX_AGENT_PORT", DEFAULT_PORT, faults)
        metrics_port = _number(environ, "GAXX_AGENT_METRICS_PORT", DEFAULT_METRICS_PORT, faults)
        slots = _number(environ, "GAXX_AGENT_SLOTS", 0, faults)
        if faults:
            raise ConfigMissing("the agent cannot start: " + "; ".join(faults))
        if not require_mtls and not loopback:
            message = f"GAXX_AGENT_REQUIRE_MTLS=false is refused on {address}; it is allowed on a loopback address only"
            raise ConfigUnsafe(message)
        run_dir = (_path(environ, "GAXX_AGENT_RUN_DIR") or Path("run")).absolute()
        return cls(
            tls_cert=Path(environ["GAXX_AGENT_TLS_CERT"]).absolute(),
            tls_key=Path(environ["GAXX_AGENT_TLS_KEY"]).absolute(),
            client_ca=Path(environ["GAXX_AGENT_CLIENT_CA"]).absolute(),
            token=environ.get("GAXX_AGENT_TOKEN", ""),
            token_file=token_file,
            require_mtls=require_mtls,
            address=address,
            port=port,
            metrics_port=metrics_port,
            runner_socket=_path(environ, "GAXX_AGENT_RUNNER_SOCKET"),
            manifest=_path(environ, "GAXX_AGENT_MANIFEST"),
            work_dir=(_path(environ, "GAXX_AGENT_WORK_DIR") or Path("work")).absolute(),
            run_dir=run_dir,
            build=environ.get("GAXX_AGENT_BUILD") or "dev",
            ssh_host_key=_path(environ, "GAXX_AGENT_SSH_HOST_KEY"),
            audit_dir=_path(environ, "GAXX_AGENT_AUDIT_DIR"),
            ssh_log=environ.get("GAXX_AGENT_SSH_LOG", ""),
            slots=slots or os.cpu_count() or 1,
            end_file=_path(environ, "GAXX_AGENT_END_FILE"),
            terminals=_path(environ, "GAXX_AGENT_TERMINALS"),
        )


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    return Path(environ[name]).absolute() if environ.get(name) else None


def _number(environ: Mapping[str, str], name: str, default: int, faults: list[str]) -> int:
    text = environ.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) > 65535:  # noqa: PLR2004 - the highest port
        faults.append(f"{name} is {text!r}; it must be a number from 0 to 65535")
        return default
    return int(text)


def _boolean(environ: Mapping[str, str], name: str, *, default: bool, faults: list[str]) -> bool:
    text = environ.get(name, "").lower()
    if text in ("true", "false"):
        return text == "true"
    if text:
        faults.append(f"{name} is {text!r}; it must be true or false")
    return default


def _is_loopback(address: str, faults: list[str]) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        faults.append(f"GAXX_AGENT_ADDRESS is {address!r}; it must be an IP address")
        return False
