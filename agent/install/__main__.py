"""`python -m agent.install identity|apply|confirm|status`: called by the helper, data on stdin, JSON on stdout."""

import getpass
import json
import pathlib
import subprocess
import sys
import typing

from agent.install import keys, serving, settings
from agent.install.layout import InstallError, Layout, write
from agent.install.processes import Processes, reload_sshd

Answer = dict[str, typing.Any]


def identity(layout: Layout) -> Answer:
    """Make what is missing of the node's keys; return the request and the host key that apply brings into use."""
    request = json.load(sys.stdin)
    rotate = request.get("rotateHostKey") or not layout.enrolled.exists()
    return {
        "csr": keys.certificate_request(layout, request["node"]),
        "sshHostKey": keys.next_host_key(layout) if rotate else keys.current_host_key(layout),
    }


def apply(layout: Layout) -> Answer:
    """Bring the verified manifest into force: settings, services, then the SSH host key."""
    manifest = json.load(sys.stdin)
    machine = layout.machine()
    if machine.get("services") != "process":
        message = "this machine's services are not known"
        raise InstallError(message)
    bundle = pathlib.Path(__file__).resolve().parents[2]
    processes = Processes(layout, machine["machine"], bundle)
    restart = settings.install_identity(layout, manifest)
    restart = write(layout.settings / "bundle", manifest["bundle"], 0o644) or restart
    settings.install_access(layout, manifest, getpass.getuser())
    forwarding_changed = settings.install_forwarding(layout, manifest)
    settings.install_files(layout, manifest)
    environment_changed = settings.install_environment(layout, manifest)
    previous = layout.in_force()
    listening = ("address", "agentPort", "metricsPort", "slots")
    restart = restart or any(previous.get(name) != manifest[name] for name in listening)
    write(layout.manifest, json.dumps(manifest, sort_keys=True))
    started = _services(processes, layout, manifest, restart=restart, reload_runner=environment_changed)
    switched = keys.switch_host_key(layout)
    write(layout.enrolled, f"{manifest['serial']}\n")
    if switched or forwarding_changed:
        reload_sshd(layout)
    return {"started": started, "sshHostKey": keys.current_host_key(layout)}


def confirm(layout: Layout) -> Answer:
    """The controller has come back over the new host key."""
    keys.forget_old_host_key(layout)
    return {"confirmed": True}


def status(layout: Layout) -> Answer:
    """What serves, and under which settings: for a controller that reaches this node over SSH alone."""
    manifest = layout.in_force()
    processes = Processes(layout, layout.machine().get("machine", ""), pathlib.Path())
    return {
        "machine": manifest.get("machine", ""),
        "manifestSerial": manifest.get("serial", 0),
        "sshHostKey": keys.current_host_key(layout),
        "agentFault": serving.fault(layout, manifest) if manifest else "not enrolled",
        "runnerAlive": processes.alive("runner") is not None,
    }


def _services(
    processes: Processes, layout: Layout, manifest: settings.Manifest, *, restart: bool, reload_runner: bool
) -> list[str]:
    if restart:
        processes.stop("agent")
        processes.stop("runner")
    started = []
    machine = layout.machine()
    for folder in (layout.work, layout.run):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if processes.alive("runner") is None:
        processes.start(
            "runner",
            "agent.runner",
            {
                "GAXX_RUNNER_SOCKET": "runner.sock",
                "GAXX_RUNNER_SLOTS": str(manifest["slots"]),
                "GAXX_RUNNER_WORK_DIR": str(layout.work),
                "GAXX_RUNNER_ENV_FILE": str(layout.settings / "env.json"),
                "GAXX_RUNNER_MEMORY_LIMIT_BYTES": str(machine.get("memoryLimitBytes", 0)),
                "HOME": str(layout.root / "home"),
            },
        )
        started.append("runner")
    elif reload_runner:
        processes.reload("runner")
    if processes.alive("agent") is None:
        processes.start("agent", "agent", _agent_environment(layout, manifest))
        started.append("agent")
    else:
        processes.reload("agent")
    return started


def _agent_environment(layout: Layout, manifest: settings.Manifest) -> dict[str, str]:
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
        "GAXX_AGENT_BUILD": manifest["bundle"],
        "GAXX_AGENT_SSH_HOST_KEY": str(layout.host_key) + ".pub",
    }


VERBS = {"identity": identity, "apply": apply, "confirm": confirm, "status": status}


def main() -> int:
    """Answer one verb; on failure one JSON object with `error`, exit 1."""
    if len(sys.argv) != 2 or sys.argv[1] not in VERBS:  # noqa: PLR2004 - program and verb
        sys.stderr.write(f"usage: python -m agent.install {'|'.join(VERBS)}\n")
        return 1
    try:
        answer = VERBS[sys.argv[1]](Layout.current())
    except (InstallError, OSError, KeyError, ValueError, subprocess.CalledProcessError) as error:
        text = str(error) if isinstance(error, InstallError) else f"{type(error).__name__}: {error}"
        sys.stdout.write(json.dumps({"error": text}) + "\n")
        return 1
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
