"""A release's root as a machine that has just booted from our user-data, except that nothing is started on it.

It lies in namespaces of its own (mounts, network, processes), and what is written there is gone with them. There its
systemctl sees that it is in a chroot, and starts nothing.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shlex
import subprocess
from collections.abc import Iterator, Mapping

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from components.authority import Authority
from components.cloudinit import Bootstrap, render
from tests.waiting import until

CLOUD_CFG = """\
datasource_list: [NoCloud, None]
network: {config: disabled}
cloud_init_modules: [write_files, users_groups, ssh]
cloud_config_modules: []
cloud_final_modules: []
"""
"""Of cloud-init's modules those that write what sshd, sudo and nft will read; nothing is started in a folder."""
PORT = 22


@dataclasses.dataclass(frozen=True)
class KeyPair:
    """An ed25519 key, as OpenSSH has it."""

    private: str
    public: str

    @classmethod
    def make(cls) -> "KeyPair":
        key = ed25519.Ed25519PrivateKey.generate()
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        return cls(private.decode(), public.decode())


@dataclasses.dataclass
class Released:
    """The machine. Commands are executed as root in its root, by its own programs."""

    folder: pathlib.Path
    """For what is beside the machine: keys of those who log in."""
    root: pathlib.Path
    """Where its root is seen, by who is in its mount namespace."""
    outside: tuple[str, ...]
    """What goes before a command of this computer's for it to be run in the machine's network."""
    space: tuple[str, ...]
    """The same, in its mount namespace too."""
    authority: Authority = dataclasses.field(default_factory=lambda: Authority.create("gaxx demo"))
    host: KeyPair = dataclasses.field(default_factory=KeyPair.make)
    user: KeyPair = dataclasses.field(default_factory=KeyPair.make)

    @property
    def user_data(self) -> str:
        """What it boots from."""
        return render(Bootstrap(self.host.private, self.host.public, self.user.public, self.authority.ssh_public_key))

    def run(self, *argv: str, stdin: bytes = b"", check: int | None = 0) -> str:
        """Execute a program of the machine's own; return all that it said."""
        line = [*self.space, "chroot", str(self.root), "env", "-i", "LANG=C.UTF-8",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *argv]  # fmt: skip
        done = subprocess.run(line, input=stdin, capture_output=True, timeout=300, check=False)
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert check is None or done.returncode == check, f"{shlex.join(argv)}: exit {done.returncode}: {said}"
        return said

    def write(self, path: str, data: bytes) -> None:
        """Put a file into the machine."""
        self.run("sh", "-c", f"mkdir -p {shlex.quote(os.path.dirname(path))} && cat > {shlex.quote(path)}", stdin=data)  # noqa: PTH120 - of a path there

    def sshd_settings(self, user: str) -> Mapping[str, str]:
        """What its sshd makes of its whole configuration, for somebody who logs in."""
        said = self.run("/usr/sbin/sshd", "-T", "-C", f"user={user},host=localhost,addr=127.0.0.1")
        return dict(line.split(" ", 1) for line in said.splitlines() if " " in line)

    @contextlib.contextmanager
    def sshd(self) -> Iterator[None]:
        """Its sshd serves in its network."""
        line = [*self.space, "chroot", str(self.root), "/usr/sbin/sshd", "-D", "-e"]
        with (self.folder / "sshd.log").open("ab") as log:
            process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until(self._listens)
            yield
        finally:
            # It has another number there than here.
            self.run("sh", "-c", "kill $(cat /run/sshd.pid)")
            process.wait()

    def _listens(self) -> bool:
        asked = [*self.outside, "ssh-keyscan", "-t", "ed25519", "-p", str(PORT), "127.0.0.1"]
        return b"ssh-ed25519" in subprocess.run(asked, capture_output=True, check=False).stdout

    def ssh(
        self, user: str, key: KeyPair, host_key: str, *command: str, certificate: str = "", stdin: bytes = b""
    ) -> "subprocess.CompletedProcess[bytes]":
        """Log in from outside, by this computer's client, with one key to one host key."""
        private, known = self.folder / "key", self.folder / "known_hosts"
        private.unlink(missing_ok=True)
        private.touch(mode=0o600)
        private.write_text(key.private)
        known.write_text(f"127.0.0.1 {host_key}\n")
        options = {"BatchMode": "yes", "StrictHostKeyChecking": "yes", "UserKnownHostsFile": known,
                   "GlobalKnownHostsFile": "/dev/null", "IdentitiesOnly": "yes", "IdentityFile": private,
                   "IdentityAgent": "none", "LogLevel": "ERROR"}  # fmt: skip
        if certificate:
            (self.folder / "certificate").write_text(certificate)
            options["CertificateFile"] = self.folder / "certificate"
        line = [*self.outside, "ssh", "-F", "none", "-p", str(PORT)]
        for name, value in options.items():
            line += ["-o", f"{name}={value}"]
        return subprocess.run(
            [*line, f"{user}@127.0.0.1", *command], input=stdin, capture_output=True, timeout=300, check=False
        )


@contextlib.contextmanager
def booted(root: pathlib.Path, folder: pathlib.Path) -> Iterator[Released]:
    """Have the release's own cloud-init read our user-data, in a copy of `root` that costs nothing."""
    seen = folder / "machine"
    for name in ("layer", "machine"):
        (folder / name).mkdir()
    lines = [
        f"mount -t tmpfs none {folder}/layer",
        f"mkdir {folder}/layer/up {folder}/layer/work",
        f"mount -t overlay -o lowerdir={root},upperdir={folder}/layer/up,workdir={folder}/layer/work none {seen}",
        f"mount -t proc proc {seen}/proc",
        "ip link set lo up",
        f"mount -t tmpfs -o mode=0755 none {seen}/run",
        f"mount -t tmpfs -o mode=0755 none {seen}/dev",
    ]
    for device in ("null", "zero", "random", "urandom"):
        lines += [f"touch {seen}/dev/{device}", f"mount --bind /dev/{device} {seen}/dev/{device}"]
    with _namespaces(lines) as pid:
        outside = ("nsenter", "--net", f"--target={pid}", "--")
        made = Released(folder, seen, outside, ("nsenter", "--net", "--mount", "--pid", f"--target={pid}", "--"))
        made.write("/var/lib/cloud/seed/nocloud/user-data", made.user_data.encode())
        made.write("/var/lib/cloud/seed/nocloud/meta-data", b"instance-id: demo-1\n")
        made.write("/etc/cloud/cloud.cfg.d/90-test.cfg", CLOUD_CFG.encode())
        made.run("cloud-init", "init", "--local")
        made.run("cloud-init", "init")
        for stage in ("config", "final"):
            made.run("cloud-init", "modules", "--mode", stage)
        # What systemd makes before it starts sshd.
        made.run("mkdir", "-p", "/run/sshd")
        yield made


@contextlib.contextmanager
def _namespaces(lines: list[str]) -> Iterator[int]:
    """Run shell lines in new namespaces, and yield the process that holds them."""
    script = "\n".join(["set -e", "mount --make-rprivate /", *lines, "echo ready", "exec cat"])
    with subprocess.Popen(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "ready\n", "the namespaces are prepared"
            (child,) = pathlib.Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
            yield int(child)
        finally:
            # Its end ends the namespaces, and whoever is left in there.
            holder.communicate()


def status(machine: Released) -> dict[str, object]:
    """What cloud-init says of itself."""
    said = machine.run("cat", "/run/cloud-init/result.json")
    found: dict[str, object] = json.loads(said)["v1"]
    return found
