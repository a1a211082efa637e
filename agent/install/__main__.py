"""`python -m agent.install identity|apply|confirm|status`: called by the helper, data on stdin, JSON on stdout."""

import json
import pathlib
import subprocess
import sys
import typing

from agent.install import keys, serving, settings
from agent.install.layout import InstallError, Layout, write
from agent.install.local_node import LocalNode
from agent.install.real_machine import RealMachine, systemd_runs

Answer = dict[str, typing.Any]


def identity(layout: Layout) -> Answer:
    """Make what is missing of the node's keys; return the request and the host key that apply brings into use."""
    request = json.load(sys.stdin)
    renew = bool(request.get("renewKeys"))
    first = not layout.enrolled.exists()
    return {
        "csr": keys.certificate_request(layout, request["node"], renew=renew),
        "sshHostKey": keys.next_host_key(layout) if renew or first else keys.current_host_key(layout),
    }


def apply(layout: Layout) -> Answer:
    """Bring the verified manifest into force: files and packages, settings, services, then the SSH host key."""
    manifest = json.load(sys.stdin)
    place = _place(layout)
    place.prepare()
    settings.install_files(layout, manifest)
    shortage = _install_packages(place, manifest)
    if shortage and not layout.enrolled.exists():
        # Nothing serves yet, and what it lacks no item may miss.
        raise shortage
    new_secrets = settings.install_identity(layout, manifest)
    new_secrets = settings.install_tokens(layout, manifest) or new_secrets
    restart = write(layout.settings / "bundle", manifest["bundle"], 0o644)
    sshd_changed = place.install_access(manifest)
    sshd_changed |= settings.install_forwarding(layout, manifest)
    environment_changed = settings.install_environment(layout, manifest, group=place.runner_group)
    previous = layout.in_force()
    listening = ("address", "agentPort", "metricsPort", "slots")
    restart = restart or any(previous.get(name) != manifest[name] for name in listening)
    settings.install_authorities(layout, manifest)
    settings.install_manifest(layout, manifest, group=place.agent_group)
    started = place.converge(manifest, restart=restart, new_secrets=new_secrets, reload_runner=environment_changed)
    switched = keys.switch_host_key(layout)
    write(layout.enrolled, f"{manifest['serial']}\n")
    if switched or sshd_changed:
        place.reload_sshd()
    if shortage:
        raise shortage
    return {
        "started": started,
        "sshHostKey": keys.current_host_key(layout),
        "operatorUser": place.operator_user,
    }


def _install_packages(place: LocalNode | RealMachine, manifest: settings.Manifest) -> InstallError | None:
    """What is wrong with the packages: a mirror that is down must keep nobody from being locked out."""
    try:
        place.install_packages(manifest)
    except InstallError as error:
        return error
    return None


def confirm(layout: Layout) -> Answer:
    """The controller has come back over the new host key."""
    keys.forget_old_host_key(layout)
    return {"confirmed": True}


def status(layout: Layout) -> Answer:
    """What serves, and under which settings: for a controller that reaches this node over SSH alone."""
    manifest = layout.in_force()
    return {
        "machine": manifest.get("machine", ""),
        "manifestSerial": manifest.get("serial", 0),
        "sshHostKey": keys.current_host_key(layout),
        "agentFault": serving.fault(layout, manifest) if manifest else "not enrolled",
        "runnerAlive": _place(layout).runner_alive(),
    }


def _place(layout: Layout) -> LocalNode | RealMachine:
    bundle = pathlib.Path(__file__).resolve().parents[2]
    if layout.machine().get("services") == "process":
        return LocalNode(layout, bundle)
    if not systemd_runs():
        message = "systemd does not run here, and agent and runner are its services on a machine"
        raise InstallError(message)
    return RealMachine(layout, bundle)


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
