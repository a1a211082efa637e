"""The settings manifest of this node: who may call it, what its items see, when it ends.

Its signature was verified by the helper that installed it; the agent only reads it, anew on SIGHUP.
"""

import datetime as dt
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

Role = Literal["operator", "observer", "node"]


class ManifestError(Exception):
    """The file is no manifest that this agent understands; the message says where."""


@dataclass(frozen=True)
class Principal:
    """One who may call. `token_sha256` are hex digests; `certificate_serial` is hex, empty for any."""

    name: str
    role: Role
    token_sha256: tuple[str, ...]
    certificate_serial: str = ""


@dataclass(frozen=True)
class Manifest:
    """What the agent needs of the manifest. `serial` 0: there is none, any principal of the authority may call."""

    serial: int = 0
    node: str = ""
    machine: str = ""
    groups: tuple[str, ...] = ()
    principals: dict[str, Principal] = field(default_factory=dict)
    denied_serials: frozenset[int] = frozenset()
    env: dict[str, str] = field(default_factory=dict)
    slots: int = 0
    expires_unix_s: float = 0.0
    idle_s: float = 0.0

    @property
    def lists_principals(self) -> bool:
        """Whether `principals` is an allow list: without a manifest the authority's word suffices."""
        return self.serial > 0


def read_manifest(path: Path) -> Manifest:
    """Read the manifest file. Raises ManifestError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        message = f"{path}: {fault.strerror}"
        raise ManifestError(message) from fault
    except ValueError as fault:
        message = f"{path}: not JSON: {fault}"
        raise ManifestError(message) from fault
    try:
        return parse_manifest(data)
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        what = f"{fault.args[0]!r} is missing" if isinstance(fault, KeyError) else str(fault)
        message = f"{path}: {what}"
        raise ManifestError(message) from fault


def parse_manifest(data: dict[str, Any]) -> Manifest:
    """Turn parsed JSON into a Manifest. Raises KeyError, TypeError or ValueError on what does not fit."""
    if data["version"] != 1:
        message = f"manifest version {data['version']!r}; this agent knows version 1"
        raise ValueError(message)
    principals = {}
    for entry in data["principals"]:
        role = entry["role"]
        if role not in get_args(Role):
            message = f"principal {entry['name']!r} has role {role!r}; roles are {', '.join(get_args(Role))}"
            raise ValueError(message)
        tokens = entry["tokenSha256"]
        principals[entry["name"]] = Principal(
            name=entry["name"],
            role=cast("Role", role),
            token_sha256=tuple(tokens.split() if isinstance(tokens, str) else tokens),
            certificate_serial=entry.get("certificateSerial", ""),
        )
    expires = data.get("expires") or ""
    return Manifest(
        serial=int(data["serial"]),
        node=data["node"],
        machine=data.get("machine", ""),
        groups=tuple(data.get("groups", ())),
        principals=principals,
        denied_serials=frozenset(int(serial, 16) for serial in data.get("deniedSerials", ())),
        env={str(name): str(value) for name, value in data.get("env", {}).items()},
        slots=int(data.get("slots", 0)),
        expires_unix_s=dt.datetime.fromisoformat(expires).timestamp() if expires else 0.0,
        idle_s=float(data.get("idle_s", 0)),
    )
