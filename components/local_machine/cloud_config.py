"""What of the user-data a process can honour: the files, the host key, the bootstrap user's key.

A local node is booted from exactly the user-data that a cloud would get. Packages, users and firewalls need
a machine of its own; those are proven on virtual machines.
"""

import dataclasses
import re

import yaml

from components.errors import GaxxError


@dataclasses.dataclass(frozen=True, slots=True)
class BootFile:
    """One file below the machine's root."""

    path: str
    """Absolute, as the machine sees it."""
    content: str = dataclasses.field(repr=False)
    mode: int


def boot_files(user_data: str) -> tuple[BootFile, ...]:
    """Return what cloud-init would write; raise GaxxError when the user-data is not ours to boot."""
    if not user_data.startswith("#cloud-config\n"):
        message = "the user-data does not begin with #cloud-config"
        raise GaxxError(message)
    try:
        config = yaml.safe_load(user_data)
    except yaml.YAMLError as error:
        message = f"the user-data is not YAML: {error}"
        raise GaxxError(message) from error
    if not isinstance(config, dict):
        message = "the user-data is no mapping"
        raise GaxxError(message)
    keys = config.get("ssh_keys") or {}
    files = [
        BootFile(entry["path"], entry["content"], int(str(entry.get("permissions", "0644")), 8))
        for entry in config.get("write_files", [])
    ]
    if "ed25519_private" not in keys or "ed25519_public" not in keys:
        message = "the user-data carries no ed25519 host key (ssh_keys)"
        raise GaxxError(message, hint="the first contact would have to trust whatever answers")
    files.append(BootFile("/etc/ssh/ssh_host_ed25519_key", keys["ed25519_private"], 0o600))
    files.append(BootFile("/etc/ssh/ssh_host_ed25519_key.pub", keys["ed25519_public"], 0o644))
    authorized = [
        key for user in config.get("users", []) if isinstance(user, dict) for key in user.get("ssh_authorized_keys", [])
    ]
    files.append(BootFile("/etc/ssh/authorized_keys", "".join(f"{key}\n" for key in authorized), 0o600))
    return tuple(files)


def below_root(file: BootFile, root: str) -> BootFile:
    """Point the absolute paths inside an sshd drop-in below the machine's root, as a chroot would."""
    if not file.path.startswith("/etc/ssh/sshd_config.d/"):
        return file
    content = re.sub(r"(?m)(?<=\s)(/(?:etc|run|var)/)", lambda match: root + match.group(1), file.content)
    return dataclasses.replace(file, content=content)
