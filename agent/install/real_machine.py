"""A real machine's services: users, folders, units, and what brings them into force."""

import grp
import os
import pathlib
import pwd
import subprocess
import sys
import typing

from agent.install import clock, hardening, packages, progress, units, upkeep_units
from agent.install.apt import Apt
from agent.install.layout import InstallError, Layout, write
from agent.install.settings import Manifest
from agent.install.system import OPERATOR_USER, last_words, run

_UNITS = pathlib.Path("etc/systemd/system")
_START_LIMIT_S = 90


class RealMachine:
    """Agent and runner as systemd's services, each as its own user; operators log in as another."""

    operator_user = OPERATOR_USER

    def __init__(self, layout: Layout, bundle: pathlib.Path) -> None:
        self._layout = layout
        self._bundle = bundle

    @property
    def agent_group(self) -> int:
        """Who reads the manifest."""
        return grp.getgrnam(units.AGENT_USER).gr_gid

    @property
    def runner_group(self) -> int:
        """Who reads the items' environment."""
        return grp.getgrnam(units.RUNNER_USER).gr_gid

    def runner_alive(self) -> bool:
        """Whether the runner runs, or its socket would start it."""
        return self.alive("runner")

    def install_packages(self, manifest: Manifest) -> None:
        """Install the declared packages, for minutes; raise InstallError when one is not to be had."""
        packages.install(self._layout, manifest, Apt(progress.say))

    def install_access(self, manifest: Manifest) -> bool:
        """Install firewall, logins and limits; return whether sshd must read its configuration anew."""
        return hardening.harden(self._layout, manifest)

    def reload_sshd(self) -> None:
        """Make sshd read its configuration and host key anew; sessions go on."""
        run("systemctl", "reload", "ssh.service")

    def alive(self, service: str) -> bool:
        """Whether a service (agent or runner) runs."""
        return run("systemctl", "is-active", "--quiet", f"gaxx-{service}.service", check=False).returncode == 0

    def prepare(self) -> None:
        """Make users and folders; what is there stays."""
        for group in (units.WORK_GROUP,):
            if not _known(grp.getgrnam, group):
                run("groupadd", "--system", group)
        for user in (units.AGENT_USER, units.RUNNER_USER):
            if not _known(pwd.getpwnam, user):
                run("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
                     "--shell", "/usr/sbin/nologin", "--groups", units.WORK_GROUP, user)  # fmt: skip
        if not _known(pwd.getpwnam, OPERATOR_USER):
            run("useradd", "--create-home", "--shell", "/bin/bash", "--password", "*", OPERATOR_USER)
        state = self._layout.root / units.STATE.lstrip("/")
        _folder(state, 0o750, units.AGENT_USER, units.WORK_GROUP)
        # Nobody's but the agent's: who works here must not be able to change what is said of them.
        _folder(self._layout.root / units.AUDIT.lstrip("/"), 0o700, units.AGENT_USER, units.AGENT_USER)
        # Files that one of the two makes must be the other's to read: the group is inherited.
        _folder(state / "work", 0o2770, units.AGENT_USER, units.WORK_GROUP)

    def converge(self, manifest: Manifest, *, restart: bool, new_secrets: bool, reload_runner: bool) -> list[str]:
        """Bring units and manifest into force; return what was started anew. Raise InstallError with its last words.

        systemd hands a service its secrets when it starts it: the agent alone is started anew for them.
        """
        texts = {
            units.AGENT_UNIT: units.agent(sys.executable, self._agent_environment(manifest)),
            units.RUNNER_SOCKET_UNIT: units.runner_socket(),
            units.RUNNER_UNIT: units.runner(
                sys.executable,
                self._runner_environment(manifest),
                memory_percent=units.items_memory_percent(_memory_bytes()),
            ),
        }
        changed = {name for name, text in texts.items() if write(self._layout.root / _UNITS / name, text, 0o644)}
        if changed:
            run("systemctl", "daemon-reload")
            run("systemctl", "enable", "--quiet", *texts)
        started = []
        for service, wanted in (("runner", units.RUNNER_UNIT), ("agent", units.AGENT_UNIT)):
            if restart or wanted in changed or not self.alive(service) or (service == "agent" and new_secrets):
                self._restart(wanted)
                started.append(service)
            elif service == "agent" or reload_runner:
                run("systemctl", "reload", wanted)
        expires = manifest["expires"]
        self._switch(units.EXPIRE_TIMER_UNIT, units.expire_timer(expires) if expires else "")
        self._switch(units.IDLE_PATH_UNIT, units.idle_path() if manifest.get("idle_s") else "")
        self._keep_up()
        return started

    def _keep_up(self) -> None:
        """Clock and security updates: begun here, and waited for by nobody."""
        clock.switch_on()
        write(self._layout.root / upkeep_units.APT_SETTINGS, upkeep_units.apt_settings(), 0o644)
        environment = {"PYTHONPATH": str(self._bundle), "LANG": "C.UTF-8"}
        texts = {
            upkeep_units.SERVICE_UNIT: upkeep_units.service(sys.executable, environment),
            upkeep_units.TIMER_UNIT: upkeep_units.timer(),
        }
        changed = {name for name, text in texts.items() if write(self._layout.root / _UNITS / name, text, 0o644)}
        if changed:
            run("systemctl", "daemon-reload")
        if upkeep_units.TIMER_UNIT in changed:
            run("systemctl", "enable", "--quiet", upkeep_units.TIMER_UNIT)
            run("systemctl", "restart", upkeep_units.TIMER_UNIT)

    def _switch(self, name: str, text: str) -> None:
        """Set what pulls the dead-man switch, set it anew, or take it away."""
        folder = self._layout.root / _UNITS
        unit = folder / name
        if not text:
            if unit.exists():
                run("systemctl", "disable", "--quiet", "--now", name)
                unit.unlink()
            return
        changed = write(folder / units.EXPIRE_UNIT, units.expire(), 0o644)
        changed |= write(unit, text, 0o644)
        if changed:
            run("systemctl", "daemon-reload")
            run("systemctl", "enable", "--quiet", name)
            run("systemctl", "restart", name)

    def _restart(self, unit: str) -> None:
        if unit == units.RUNNER_UNIT:
            # A socket whose service runs cannot be started; one that is there already stays.
            run("systemctl", "stop", units.AGENT_UNIT, units.RUNNER_UNIT, check=False)
            run("systemctl", "start", units.RUNNER_SOCKET_UNIT)
        try:
            done = run("systemctl", "restart", unit, check=False, limit_s=_START_LIMIT_S)
        except subprocess.TimeoutExpired as error:
            message = f"{unit} is not ready after {_START_LIMIT_S} s: {last_words(unit)}"
            raise InstallError(message) from error
        if done.returncode != 0:
            message = f"{unit} does not start: {last_words(unit)}"
            raise InstallError(message)

    def _agent_environment(self, manifest: Manifest) -> dict[str, str]:
        settings = self._layout.settings
        return {
            "PYTHONPATH": str(self._bundle),
            "LANG": "C.UTF-8",
            "GAXX_AGENT_TLS_CERT": str(self._layout.tls / "node.crt"),
            "GAXX_AGENT_CLIENT_CA": str(self._layout.tls / "authority.crt"),
            "GAXX_AGENT_REQUIRE_MTLS": "true",
            "GAXX_AGENT_ADDRESS": manifest["address"],
            "GAXX_AGENT_PORT": str(manifest["agentPort"]),
            "GAXX_AGENT_METRICS_PORT": str(manifest["metricsPort"]),
            "GAXX_AGENT_RUNNER_SOCKET": units.RUNNER_SOCKET,
            "GAXX_AGENT_MANIFEST": str(settings / "manifest.json"),
            "GAXX_AGENT_WORK_DIR": f"{units.STATE}/work",
            "GAXX_AGENT_RUN_DIR": "/run/gaxx-agent",
            "GAXX_AGENT_AUDIT_DIR": units.AUDIT,
            "GAXX_AGENT_SSH_LOG": "journal",
            "GAXX_AGENT_END_FILE": units.END_FILE,
            "GAXX_AGENT_TERMINALS": "/dev/pts",
            "GAXX_AGENT_BUILD": manifest["bundle"],
            "GAXX_AGENT_SSH_HOST_KEY": f"{self._layout.host_key}.pub",
        }

    def _runner_environment(self, manifest: Manifest) -> dict[str, str]:
        return {
            "PYTHONPATH": str(self._bundle),
            "LANG": "C.UTF-8",
            "HOME": f"{units.STATE}/work",
            "GAXX_RUNNER_SLOTS": str(manifest["slots"]),
            "GAXX_RUNNER_WORK_DIR": f"{units.STATE}/work",
            "GAXX_RUNNER_CGROUPS": "true",
            "GAXX_RUNNER_ENV_FILE": str(self._layout.settings / "env.json"),
        }


def systemd_runs() -> bool:
    """Whether this machine is systemd's."""
    return pathlib.Path("/run/systemd/system").is_dir()


def _folder(path: pathlib.Path, mode: int, user: str, group: str) -> None:
    path.mkdir(parents=True, exist_ok=True)
    os.chown(path, pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid)
    path.chmod(mode)


def _known(find: typing.Callable[[str], object], name: str) -> bool:
    try:
        find(name)
    except KeyError:
        return False
    return True


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
