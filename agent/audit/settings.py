"""What changed of the settings since the trail last spoke of them: also across a restart, which new tokens need."""

import contextlib
import dataclasses
import hashlib
import json
from typing import Any

from agent.audit.trail import Trail
from agent.manifest import Manifest


@dataclasses.dataclass(frozen=True)
class Settings:
    """Who may call, and as what the node proves itself; without anything that a reader could use."""

    serial: int = 0
    principals: dict[str, str] = dataclasses.field(default_factory=dict)
    """A digest of role, token's digest and certificate, by name."""
    denied: tuple[str, ...] = ()
    environment: str = ""
    certificate: str = ""
    """The serial of the node's certificate, in hex."""
    authority: str = ""
    """A digest of the authority's certificate, or certificates while it is being replaced."""

    @classmethod
    def of(cls, manifest: Manifest, *, certificate: int, authority: bytes) -> "Settings":
        """Those of an agent."""
        return cls(
            manifest.serial,
            {name: _digest(dataclasses.asdict(principal)) for name, principal in manifest.principals.items()},
            tuple(sorted(f"{serial:x}" for serial in manifest.denied_serials)),
            _digest(manifest.env),
            f"{certificate:x}",
            hashlib.sha256(authority).hexdigest(),
        )

    @classmethod
    def read(cls, text: str) -> "Settings":
        """Read what `text` has written. Raises ValueError, TypeError, AttributeError, KeyError."""
        data = json.loads(text)
        return cls(**{**data, "denied": tuple(data["denied"]), "principals": dict(data["principals"])})

    def since(self, before: "Settings") -> dict[str, object]:
        """Return the fields of a line that tells what is different; those that say nothing are left out."""
        old, new = before.principals, self.principals
        changed: dict[str, object] = {
            "principals_added": sorted(new.keys() - old.keys()),
            "principals_removed": sorted(old.keys() - new.keys()),
            "principals_changed": sorted(name for name in new.keys() & old.keys() if new[name] != old[name]),
            "certificates_denied": sorted(set(self.denied) - set(before.denied)),
            "environment_changed": self.environment != before.environment,
            "certificate": self.certificate if self.certificate != before.certificate else "",
            "authority_sha256": self.authority if self.authority != before.authority else "",
        }
        told = {name: value for name, value in changed.items() if value}
        return {"serial": self.serial, "before": before.serial, **told}


class SettingsNotes:
    """Notes changes, and remembers beside the trail what it has noted."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._path = trail.folder / ".settings"

    def started(self, settings: Settings) -> None:
        """The agent starts with these; a line is written when they are not those of its last word."""
        before = self._read()
        if before is not None and before != settings:
            self._trail.note("settings", event="start", **settings.since(before))
        self._write(settings)

    def reloaded(self, settings: Settings) -> None:
        """The agent goes on with these."""
        self._trail.note("settings", event="reload", **settings.since(self._read() or Settings()))
        self._write(settings)

    def _read(self) -> Settings | None:
        try:
            return Settings.read(self._path.read_text())
        except (OSError, ValueError, TypeError, AttributeError, KeyError):
            return None

    def _write(self, settings: Settings) -> None:
        # Not remembered where the disk is full: the next line then tells the same once more.
        with contextlib.suppress(OSError):
            self._path.write_text(json.dumps(dataclasses.asdict(settings)))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
