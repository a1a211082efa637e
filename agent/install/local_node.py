"""A local node's services: plain processes of one account, in one folder."""

import getpass
import pathlib

from agent.install import settings
from agent.install.layout import Layout, write
from agent.install.processes import Processes, reload_sshd


class LocalNode:
    """Where systemd is not ours: agent, runner and sshd are processes of this account."""

    agent_group = runner_group = -1

    def __init__(self, layout: Layout, bundle: pathlib.Path) -> None:
        self._layout = layout
        self._machine = layout.machine()
        self._processes = Processes(layout, self._machine.get("machine", ""), bundle)
        self.operator_user = getpass.getuser()

    def runner_alive(self) -> bool:
        """Whether the runner runs."""
        return self._processes.alive("runner") is not None

    def prepare(self) -> None:
        """Make the folders."""
        for folder in (self._layout.work, self._layout.run):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def install_packages(self, manifest: settings.Manifest) -> None:
        """None: a local node has no packages of its own, and its declaration says so in a notice."""

    def install_access(self, manifest: settings.Manifest) -> bool:
        """Install who may log in, which sshd reads at every login; return whether it must read its configuration."""
        settings.install_access(self._layout, manifest, self.operator_user)
        # Without PAM, sshd is silent at its usual level when a session ends that was not closed in good order.
        return write(self._layout.logging, "LogLevel VERBOSE\n", 0o644)

    def converge(
        self, manifest: settings.Manifest, *, restart: bool, new_secrets: bool, reload_runner: bool
    ) -> list[str]:
        """Start what does not run or must run anew, make the rest read its settings; return what was started."""
        del new_secrets  # the agent reads them again when it is told to
        if restart:
            self._processes.stop("agent")
            self._processes.stop("runner")
        started = []
        if not self.runner_alive():
            self._processes.start("runner", "agent.runner", self._runner_environment(manifest))
            started.append("runner")
        elif reload_runner:
            self._processes.reload("runner")
        if self._processes.alive("agent") is None:
            self._processes.start("agent", "agent", self._agent_environment(manifest))
            started.append("agent")
        else:
            self._processes.reload("agent")
        return started

    def reload_sshd(self) -> None:
        """Make sshd read its configuration and host key anew."""
        reload_sshd(self._layout)

    def _runner_environment(self, manifest: settings.Manifest) -> dict[str, str]:
        layout = self._layout
        return {
            "GAXX_RUNNER_SOCKET": "runner.sock",
            "GAXX_RUNNER_SLOTS": str(manifest["slots"]),
            "GAXX_RUNNER_WORK_DIR": str(layout.work),
            "GAXX_RUNNER_ENV_FILE": str(layout.settings / "env.json"),
            "GAXX_RUNNER_MEMORY_LIMIT_BYTES": str(self._machine.get("memoryLimitBytes", 0)),
            "HOME": str(layout.root / "home"),
        }

    def _agent_environment(self, manifest: settings.Manifest) -> dict[str, str]:
        layout = self._layout
        return {
            "GAXX_AGENT_TOKEN_FILE": str(layout.settings / "tokens"),
            "GAXX_AGENT_TLS_CERT": str(layout.tls / "node.crt"),
            "GAXX_AGENT_TLS_KEY": str(layout.tls / "node.key"),
            "GAXX_AGENT_CLIENT_CA": str(layout.tls / "authority.crt"),
            "GAXX_AGENT_REQUIRE_MTLS": "true",
            "GAXX_AGENT_ADDRESS": manifest["address"],
            "GAXX_AGENT_PORT": str(manifest["agentPort"]),
            "GAXX_AGENT_METRICS_PORT": str(manifest["metricsPort"]),
            "GAXX_AGENT_RUNNER_SOCKET": "runner.sock",
            "GAXX_AGENT_MANIFEST": str(layout.manifest),
            "GAXX_AGENT_WORK_DIR": str(layout.work),
            "GAXX_AGENT_RUN_DIR": str(layout.run),
            "GAXX_AGENT_AUDIT_DIR": str(layout.log / "audit"),
            "GAXX_AGENT_SSH_LOG": str(layout.log / "sshd.log"),
            "GAXX_AGENT_BUILD": manifest["bundle"],
            "GAXX_AGENT_SSH_HOST_KEY": str(layout.host_key) + ".pub",
        }
