"""What the parts of one agent share: its configuration, the manifest in force, the runner, its counts."""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from agent.activity import Activity
from agent.audit.trail import Trail
from agent.config import AgentConfig
from agent.logs import Memory
from agent.manifest import Manifest
from agent.metrics import Metrics
from agent.runner_client import RunnerConnection

_PLAIN = re.compile(r"[A-Za-z0-9_@+][A-Za-z0-9_@+.-]*")


@dataclass
class Node:
    """One agent's parts. `manifest` is replaced on reload; everything else stays."""

    config: AgentConfig
    manifest: Manifest
    runner: RunnerConnection
    memory: Memory
    metrics: Metrics
    audit: Trail
    activity: Activity = field(default_factory=Activity)

    @property
    def env(self) -> dict[str, str]:
        """The declared environment of items, with the node's name."""
        return declared_env(self.manifest)

    @property
    def idle_limit_s(self) -> float:
        """So long idle, the node ends itself; 0: it does not."""
        return self.manifest.idle_s if self.config.end_file is not None else 0.0

    def home_of(self, principal: str) -> Path:
        """Return the principal's work folder, made when absent. Raises OSError."""
        name = principal if _PLAIN.fullmatch(principal) else hashlib.sha256(principal.encode()).hexdigest()
        home = self.config.work_dir / name
        home.mkdir(mode=0o770, parents=True, exist_ok=True)
        return home


def declared_env(manifest: Manifest) -> dict[str, str]:
    """Return the environment that the manifest declares, with GAXX_NODE."""
    return {**manifest.env, **({"GAXX_NODE": manifest.node} if manifest.node else {})}
