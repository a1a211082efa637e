"""Where everything lies on a node, below its root: "/" on a machine, a folder for a local node."""

import dataclasses
import json
import os
import pathlib
import tempfile
import typing


class InstallError(Exception):
    """Enrolment cannot go on; the message is for a person."""


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Paths below `root`."""

    root: pathlib.Path

    @classmethod
    def current(cls) -> "Layout":
        """The layout of this machine: GAXX_ROOT, which the helper passes on, or "/"."""
        return cls(pathlib.Path(os.environ.get("GAXX_ROOT") or "/"))

    @property
    def settings(self) -> pathlib.Path:
        """Our configuration."""
        return self.root / "etc/gaxx"

    @property
    def tls(self) -> pathlib.Path:
        """The node's own TLS key and certificate, and the authority's."""
        return self.settings / "tls"

    @property
    def manifest(self) -> pathlib.Path:
        """The settings in force."""
        return self.settings / "manifest.json"

    @property
    def enrolled(self) -> pathlib.Path:
        """Marks that the bootstrap key has been used."""
        return self.settings / "enrolled"

    @property
    def host_key(self) -> pathlib.Path:
        """The SSH host key in use."""
        return self.root / "etc/ssh/ssh_host_ed25519_key"

    @property
    def next_host_key(self) -> pathlib.Path:
        """The SSH host key that the next apply brings into use."""
        return self.root / "etc/ssh/gaxx_next_host_key"

    @property
    def authorized_keys(self) -> pathlib.Path:
        """Who logs in by a plain key."""
        return self.root / "etc/ssh/authorized_keys"

    @property
    def forwarding(self) -> pathlib.Path:
        """What sshd forwards to."""
        return self.root / "etc/ssh/sshd_config.d/20-gaxx-forwarding.conf"

    @property
    def logging(self) -> pathlib.Path:
        """How much sshd says."""
        return self.root / "etc/ssh/sshd_config.d/40-gaxx-logging.conf"

    @property
    def run(self) -> pathlib.Path:
        """Sockets and pid files."""
        return self.root / "run/gaxx"

    @property
    def work(self) -> pathlib.Path:
        """Where items work and results wait."""
        return self.root / "var/lib/gaxx"

    @property
    def log(self) -> pathlib.Path:
        """Logs of agent and runner."""
        return self.root / "var/log"

    def in_force(self) -> dict[str, typing.Any]:
        """The manifest in force; empty before the first."""
        try:
            manifest: dict[str, typing.Any] = json.loads(self.manifest.read_text())
        except FileNotFoundError:
            return {}
        return manifest

    def machine(self) -> dict[str, typing.Any]:
        """What the machine says of itself; empty on a real one."""
        try:
            machine: dict[str, typing.Any] = json.loads((self.settings / "machine.json").read_text())
        except FileNotFoundError:
            return {}
        return machine


def write(path: pathlib.Path, content: str, mode: int = 0o600, *, group: int = -1) -> bool:
    """Write atomically with `mode`, for a group where one is given (gid); return whether anything changed."""
    try:
        status = path.stat()
        same_access = status.st_mode & 0o777 == mode and group in (-1, status.st_gid)
        if same_access and path.read_text() == content:
            return False
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        os.fchmod(file.fileno(), mode)
        os.fchown(file.fileno(), -1, group)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    pathlib.Path(file.name).replace(path)
    return True


def wipe(path: pathlib.Path) -> None:
    """Overwrite a file: what is only unlinked can still be read off the disk."""
    if path.is_symlink() or not path.is_file():
        return
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
