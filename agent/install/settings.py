"""The manifest's settings as files: who may log in, who may call, what items see."""

import json
import pathlib
import typing

from agent.install import keys
from agent.install.layout import InstallError, Layout, write

Manifest = dict[str, typing.Any]

ENROL_PRINCIPAL = "gaxx-enrol"
"""What an SSH certificate of the authority must name to enrol this node again."""


def install_identity(layout: Layout, manifest: Manifest) -> bool:
    """Install key, certificate and authority; return whether the key is another one."""
    changed = keys.switch_tls_key(layout, manifest["certificate"])
    write(layout.tls / "node.crt", manifest["certificate"], 0o644)
    write(layout.tls / "authority.crt", manifest["authorityCertificate"], 0o644)
    return changed


def install_authorities(layout: Layout, manifest: Manifest) -> None:
    """Install whose signatures and SSH certificates count from the next contact on."""
    lines = manifest["authoritiesSsh"]
    signers = "".join(f'authority namespaces="gaxx-bundle,gaxx-manifest" {line}\n' for line in lines)
    write(layout.settings / "authority.allowed_signers", signers, 0o644)
    write(layout.settings / "authority_ssh.pub", "".join(f"{line}\n" for line in lines), 0o644)


def operator_keys(manifest: Manifest) -> str:
    """The lines of an authorized_keys file: who may log in by a plain key."""
    return "".join(
        f"{principal['sshPublicKey']}\n"
        for principal in manifest["principals"]
        # An observer reads through the agent; a shell would be more than that.
        if principal.get("sshPublicKey") and principal["role"] == "operator"
    )


def install_access(layout: Layout, manifest: Manifest, user: str) -> None:
    """Install who may log in over SSH as the account that runs everything here."""
    write(layout.authorized_keys, operator_keys(manifest))
    write(layout.settings / "principals" / user, f"{ENROL_PRINCIPAL}\n", 0o644)


def install_tokens(layout: Layout, manifest: Manifest) -> bool:
    """Install which tokens the agent accepts, as digests; return whether they changed."""
    tokens = "".join(f"{principal['name']} sha256:{principal['tokenSha256']}\n" for principal in manifest["principals"])
    return write(layout.settings / "tokens", tokens)


def install_forwarding(layout: Layout, manifest: Manifest) -> bool:
    """Install where SSH may forward to: the agent and its metrics, nothing else; return whether sshd must read it."""
    address = manifest["address"]
    hosts = dict.fromkeys(("127.0.0.1", f"[{address}]" if ":" in address else address))
    targets = [f"{host}:{port}" for host in hosts for port in (manifest["agentPort"], manifest["metricsPort"])]
    return write(layout.forwarding, f"PermitOpen {' '.join(targets)}\n", 0o644)


def install_environment(layout: Layout, manifest: Manifest, *, group: int = -1) -> bool:
    """Install what items see in their environment, readable by the runner's group; return whether it changed."""
    environment = {**manifest["env"], "GAXX_NODE": manifest["node"], "GAXX_FLEET": manifest.get("fleet", "")}
    machine = layout.machine().get("machine")
    if machine:
        # Marks every process of a local node, also one that has left its parent.
        environment["GAXX_MACHINE"] = machine
    mode = 0o600 if group == -1 else 0o640
    return write(layout.settings / "env.json", json.dumps(environment, sort_keys=True), mode, group=group)


def install_manifest(layout: Layout, manifest: Manifest, *, group: int = -1) -> None:
    """Install the manifest itself, readable by the agent's group."""
    mode = 0o600 if group == -1 else 0o640
    write(layout.manifest, json.dumps(manifest, sort_keys=True), mode, group=group)


def install_files(layout: Layout, manifest: Manifest) -> None:
    """Install the declared files below the machine's root, and remove those that are declared no more."""
    record = layout.settings / "files.json"
    before = set(json.loads(record.read_text())) if record.exists() else set()
    for path, file in manifest["files"].items():
        write(_inside(layout, path), file["content"], int(file.get("mode", "0644"), 8))
    for path in before - set(manifest["files"]):
        _inside(layout, path).unlink(missing_ok=True)
    write(record, json.dumps(sorted(manifest["files"])))


def _inside(layout: Layout, path: str) -> pathlib.Path:
    target = layout.root / path.lstrip("/")
    if ".." in pathlib.PurePosixPath(path).parts:
        message = f"{path}: a declared file may not climb"
        raise InstallError(message)
    return target
