"""What makes the user-data worthless and the machine's own firewall exact: only on a real machine."""

import pathlib
import pwd
import shutil
import typing

from agent.install.layout import Layout, wipe, write
from agent.install.settings import Manifest, operator_keys
from agent.install.system import OPERATOR_USER, run

_KEYS = """\
# Whoever may log in stands here; what cloud-init wrote into a home folder counts no more.
AuthorizedKeysFile /etc/gaxx/authorized_keys/%u
"""
_JOURNAL = "[Journal]\nSystemMaxUse=200M\nRuntimeMaxUse=64M\n"
_NO_CORES = "kernel.core_pattern=|/bin/false\nfs.suid_dumpable=0\n"
_COPIES = (
    "var/lib/cloud/instances",
    "var/lib/cloud/instance",
    "var/lib/cloud/seed",
    "var/lib/cloud/data",
    "run/cloud-init/instance-data-sensitive.json",
    "run/cloud-init/combined-cloud-config.json",
    "run/cloud-init/cloud.cfg",
)
"""Where cloud-init keeps the user-data and what it made of it."""
_LOGS = ("var/log/cloud-init.log", "var/log/cloud-init-output.log")


def harden(layout: Layout, manifest: Manifest) -> bool:
    """Firewall, logins, limits; return whether sshd must read its configuration anew."""
    firewall = layout.root / "etc/nftables.conf"
    if write(firewall, manifest["firewall"], 0o644) or not _is_in_force():
        run("nft", "--file", str(firewall))
    changed = write(layout.root / "etc/ssh/sshd_config.d/30-gaxx-keys.conf", _KEYS, 0o644)
    changed |= _keys(layout, manifest)
    if write(layout.root / "etc/systemd/journald.conf.d/gaxx.conf", _JOURNAL, 0o644):
        run("systemctl", "restart", "systemd-journald")
    if write(layout.root / "etc/sysctl.d/90-gaxx.conf", _NO_CORES, 0o644):
        run("sysctl", "--quiet", "--system", check=False)
    _scrub(layout)
    return changed


def _keys(layout: Layout, manifest: Manifest) -> bool:
    folder = layout.settings / "authorized_keys"
    changed = write(folder / OPERATOR_USER, operator_keys(manifest), 0o644)
    # Enrolment comes by certificate from now on.
    spent = pathlib.Path(_home("gaxx-enrol")) / ".ssh/authorized_keys"
    spent.unlink(missing_ok=True)
    return changed


def _home(user: str) -> str:
    try:
        return pwd.getpwnam(user).pw_dir
    except KeyError:
        return "/nonexistent"


def _scrub(layout: Layout) -> None:
    """Neither a reboot nor a new instance id may bring the bootstrap keys back."""
    write(layout.root / "etc/cloud/cloud-init.disabled", "", 0o644)
    for name in _COPIES:
        path = layout.root / name
        if path.is_dir() and not path.is_symlink():
            for file in path.rglob("*"):
                wipe(file)
            shutil.rmtree(path)
        else:
            wipe(path)
            path.unlink(missing_ok=True)
    for name in _LOGS:
        wipe(layout.root / name)
        (layout.root / name).unlink(missing_ok=True)


def _is_in_force() -> bool:
    done: typing.Any = run("nft", "list", "table", "inet", "gaxx", check=False)
    return bool(done.returncode == 0)
