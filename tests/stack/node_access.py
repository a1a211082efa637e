"""The provider's own way into a node, for tests that come with something to be refused."""

import contextlib
import io
import json
import struct
import typing
from collections.abc import Iterator

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from components.authority import Authority
from components.inventory import Node
from components.provider import ssh_session
from components.provider.enrolling import CERTIFICATE_VALID_S, ENROL_PRINCIPAL
from components.provider.ssh_session import Endpoint, Login, Session
from tests.stack.project import Project


def authority(project: Project) -> Authority:
    """The stack's own authority."""
    (path,) = project.private.glob("authorities/*.pem")
    return Authority.from_pem(path.read_text())


def endpoint(node: Node) -> Endpoint:
    """The node's sshd with the host keys that the inventory pins."""
    return Endpoint(node.name, node.ssh_host, node.ssh_port, node.ssh_host_keys)


def helper(project: Project, node: Node) -> str:
    """The command that enrolment runs."""
    return f"{project.machine(node.name)}/usr/local/sbin/gaxx-enrol"


def signed(data: bytes, by: Authority, namespace: str) -> typing.BinaryIO:
    """As the helper reads it."""
    signature = by.sign_detached(data, namespace).encode()
    return io.BytesIO(struct.pack(">I", len(signature)) + signature + data)


@contextlib.contextmanager
def session(node: Node, by: Authority) -> Iterator[Session]:
    """Log in with a fresh certificate of `by`."""
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    certificate = by.sign_ssh_user(
        public.decode(), principals=[ENROL_PRINCIPAL], valid_s=CERTIFICATE_VALID_S, key_id="test"
    )
    with ssh_session.connect(endpoint(node), Login(node.ssh_user, private.decode(), certificate)) as opened:
        yield opened


def bootstrap_login(project: Project, node: Node) -> Login:
    """The single-use key that was in the node's user-data."""
    exported = json.loads(project.pulumi("stack", "export", "--show-secrets").stdout)["deployment"]["resources"]
    for resource in exported:
        if resource["type"] == "gaxx:index:BootstrapIdentity" and resource["inputs"]["node"] == node.name:
            user = project.resource("Enrolment", node.name)["inputs"]["sshUser"]
            return Login(user, json.loads(resource["outputs"]["userPrivateKey"]["plaintext"]))
    raise LookupError(node.name)
