"""A stack of real agents and sshds on loopback, without an engine: its inventory lies where it would be cached."""

import contextlib
import dataclasses
import functools
import getpass
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from components.authority import Authority, certificate_serial, token_sha256
from components.inventory import Inventory, Node, Principal
from tasks import env, identity, private
from tasks.inventory import Stack, stack_named
from tests.waiting import until

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
STACK = "demo"
AGENT_PORT = 8088
METRICS_PORT = 9091
SSH_PORT = 2222


@dataclasses.dataclass
class Machine:
    """One node: its processes and what the inventory says of it."""

    node: Node
    folder: pathlib.Path
    inside: tuple[str, ...] = ()
    """What goes before a command for it to be run where the node is."""
    agent: "subprocess.Popen[bytes] | None" = None
    sshd: "subprocess.Popen[bytes] | None" = None

    def start_agent(self) -> None:
        """Start the agent, for the first time or again after it was killed."""
        folder = self.folder
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "GAXX_AGENT_TOKEN_FILE": str(folder / "tokens"),
            "GAXX_AGENT_TLS_CERT": str(folder / "tls.crt"),
            "GAXX_AGENT_TLS_KEY": str(folder / "tls.key"),
            "GAXX_AGENT_CLIENT_CA": str(folder / "ca.crt"),
            "GAXX_AGENT_ADDRESS": self.node.address,
            "GAXX_AGENT_PORT": str(AGENT_PORT),
            "GAXX_AGENT_METRICS_PORT": str(METRICS_PORT),
            "GAXX_AGENT_MANIFEST": str(folder / "manifest.json"),
            "GAXX_AGENT_WORK_DIR": str(folder / "var/lib/gaxx"),
            "GAXX_AGENT_RUN_DIR": str(folder / "run"),
        }
        with (folder / "agent.log").open("ab") as log:
            self.agent = subprocess.Popen(
                [*self.inside, sys.executable, "-m", "agent"], cwd=folder, env=environ, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def processes(self) -> list[int]:
        """The agent and all below it: runner and items."""
        assert self.agent is not None
        return [self.agent.pid, *_children(self.agent.pid)]

    def kill_agent(self) -> None:
        """End agent and runner at once."""
        _kill(self.agent)

    def kill_sshd(self) -> None:
        """End sshd at once."""
        _kill(self.sshd)


@dataclasses.dataclass
class Fleet:
    """A stack that is up, as a controller in `root` sees it."""

    root: pathlib.Path
    authority: Authority
    machines: dict[str, Machine]
    known: Inventory
    stack: Stack
    environ: dict[str, str]
    """Of a program that shall see this stack."""
    seen_from: tuple[str, ...] = ()
    """What goes before such a program, to be run where its user is."""

    def rewrite(self, changed: Inventory) -> None:
        """Put another inventory into the cache."""
        self.known = changed
        private.replace(self.stack.cache, changed.to_json())

    def gaxx(self, *argv: str, stdin: bytes = b"", timeout_s: float = 60) -> "subprocess.CompletedProcess[bytes]":
        """Run the program as a user would, in the project."""
        return subprocess.run(
            [*self.seen_from, sys.executable, "-m", "tasks.cli.main", *argv],
            cwd=self.root, env=self.environ, input=stdin, capture_output=True, timeout=timeout_s, check=False,
        )  # fmt: skip


@contextlib.contextmanager
def fleet(
    tmp_path: pathlib.Path, count: int, *, sshd: bool = False, slots: int = 2, inside: tuple[str, ...] = ()
) -> Iterator[Fleet]:
    """Start `count` nodes and yield their stack; nothing of them is left afterwards."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "Pulumi.yaml").write_text("name: gaxx\nruntime: python\nstackConfigDir: stacks\n")
    variables = env.chosen()
    os.environ.update(variables)
    env.prepare(variables)
    operator, _ = identity.ensure("ada")
    authority = Authority.create("test")
    certificate = authority.sign_client_csr(operator.csr, name="ada", role="operator", days=1)
    me = Principal("ada", "operator", certificate, operator.key_sha256, authority.token("ada"))
    subnet = _free_subnet(count)
    with contextlib.ExitStack() as stack:
        machines: dict[str, Machine] = {}
        for index in range(1, count + 1):
            machine = _machine(tmp_path, f"{subnet}.{index}", index, slots=slots)
            machine.inside = inside
            stack.callback(_stop, machine)
            if sshd:
                _start_sshd(machine, operator)
            _start_agent(machine, authority, me)
            machines[machine.node.name] = machine
        for machine in machines.values():
            until(functools.partial(_answers, machine, AGENT_PORT))
        where = stack_named(STACK, start=root)
        known = Inventory(
            project="gaxx",
            stack=STACK,
            backend_id=where.backend_id,
            authority_certificate=authority.certificate_pem,
            nodes=tuple(machine.node for machine in machines.values()),
            principals=(me,),
        )
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "PULUMI_STACK": STACK}
        made = Fleet(root, authority, machines, known, where, environ)
        made.rewrite(known)
        yield made


def _free_subnet(count: int) -> str:
    for _ in range(100):
        # All of 127.0.0.0/8 is loopback; a range of its own keeps tests that run at once apart.
        subnet = f"127.{64 + secrets.randbelow(128)}.{secrets.randbelow(256)}"
        with contextlib.ExitStack() as stack:
            try:
                for index in {1, count}:
                    probe = stack.enter_context(socket.socket())
                    probe.bind((f"{subnet}.{index}", AGENT_PORT))
            except OSError:
                continue
        return subnet
    message = "no free loopback addresses"
    raise RuntimeError(message)


def _machine(tmp_path: pathlib.Path, address: str, index: int, *, slots: int) -> Machine:
    name = f"{STACK}-{index}"
    folder = tmp_path / "nodes" / name
    folder.mkdir(parents=True)
    node = Node(
        name=name, fleet=STACK, index=index, cloud="local", region="", type="local", image="", machine_id=name,
        address=address, reach="direct", ssh_host=address, ssh_port=SSH_PORT, ssh_user=getpass.getuser(),
        ssh_host_keys=(), agent_port=AGENT_PORT, metrics_port=METRICS_PORT, tls_name=f"{name}.{STACK}.gaxx",
        slots=slots, groups=("odd",) if index % 2 else ("even",), created="2026-01-01T00:00:00+00:00", expires="",
        agent_build="test",
    )  # fmt: skip
    return Machine(node, folder)


def _start_agent(machine: Machine, authority: Authority, *principals: Principal) -> None:
    node, folder = machine.node, machine.folder
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, node.name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    certificate = authority.sign_node_csr(
        csr.public_bytes(Encoding.PEM).decode(),
        name=node.name,
        dns_names=[node.tls_name],
        addresses=[node.address],
        days=1,
    )
    manifest = {
        "version": 1, "node": node.name, "machine": node.machine_id, "serial": 1, "tlsName": node.tls_name,
        "groups": list(node.groups), "slots": node.slots, "deniedSerials": [], "env": {"FROM_MANIFEST": "yes"},
        "principals": [
            {
                "name": who.name, "role": who.role, "tokenSha256": token_sha256(who.token),
                "certificateSerial": certificate_serial(who.certificate),
            }
            for who in principals
        ],
    }  # fmt: skip
    private.create(folder / "tls.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for name, text in (
        ("tls.crt", certificate),
        ("ca.crt", authority.certificate_pem),
        ("manifest.json", json.dumps(manifest)),
        ("tokens", "\n".join(f"{who.name} sha256:{token_sha256(who.token)}" for who in principals)),
    ):
        private.create(folder / name, text.encode())
    machine.start_agent()


def _start_sshd(machine: Machine, operator: identity.Operator) -> None:
    folder = machine.folder / "ssh"
    folder.mkdir(mode=0o700)
    host_key = folder / "host_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", host_key], check=True)
    (folder / "authorized_keys").write_text(f"{operator.ssh_public_key}\n")
    (folder / "config").write_text(
        f"ListenAddress {machine.node.address}:{SSH_PORT}\nHostKey {host_key}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nStrictModes no\n"
        "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nAllowStreamLocalForwarding yes\n"
        # What a local machine's sshd tells its sessions.
        f"Subsystem sftp internal-sftp\nSetEnv GAXX_ROOT={machine.folder}\n"
    )
    if os.geteuid() == 0:
        pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "OpenSSH's sshd is needed"
    with (folder / "log").open("ab") as log:
        machine.sshd = subprocess.Popen(
            [*machine.inside, program, "-D", "-e", "-f", folder / "config"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    key = " ".join((folder / "host_key.pub").read_text().split()[:2])
    machine.node = machine.node._replace(ssh_host_keys=(key,))
    until(lambda: _answers(machine, SSH_PORT))


def _answers(machine: Machine, port: int) -> bool:
    if machine.inside:
        program = f"import socket; socket.create_connection(({machine.node.address!r}, {port}), timeout=1)"
        asked = [*machine.inside, sys.executable, "-c", program]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0
    try:
        with socket.create_connection((machine.node.address, port), timeout=1):
            return True
    except OSError:
        return False


def _stop(machine: Machine) -> None:
    machine.kill_agent()
    machine.kill_sshd()


def _kill(process: "subprocess.Popen[bytes] | None") -> None:
    if process is None:
        return
    # The runner is in the agent's session or notices that its agent is gone; both are ended here.
    for child in _children(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    process.kill()
    process.wait()


def _children(pid: int) -> list[int]:
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = entry.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                child = int(entry.parent.name)
                found += [child, *_children(child)]
    return found


def banner(port: int) -> bytes:
    """What a server says first on a port of 127.0.0.1; nothing where none listens."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(64)
    except OSError:
        return b""
