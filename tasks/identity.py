"""The operator's own keys: made once, kept 0600; how a controller proves to the nodes who it is.

Key material is only read here where it is used; nothing of it is ever an argument of a process or in a log.
"""

import json
import os
import pathlib
import re
import typing

from components import places
from components.errors import GaxxError, Refused
from components.inventory import Inventory, Principal
from tasks import private

if typing.TYPE_CHECKING:
    from agent.client import Identity

SSH_KEY = "ssh_ed25519"
TLS_KEY = "tls.key"
CSR = "tls.csr"
RECORD = "operator.json"


class Operator(typing.NamedTuple):
    """The public part of the operator's identity, and where the private part lies."""

    folder: pathlib.Path
    name: str
    ssh_public_key: str
    csr: str
    """PEM."""
    key_sha256: str
    """Hex sha256 of the TLS key's DER SubjectPublicKeyInfo."""

    @property
    def ssh_key(self) -> pathlib.Path:
        """The private SSH key, OpenSSH's format."""
        return self.folder / SSH_KEY

    @property
    def tls_key(self) -> pathlib.Path:
        """The private TLS key, PKCS8 PEM."""
        return self.folder / TLS_KEY


def load() -> Operator:
    """Read the operator's record; raise GaxxError when there is none or it is damaged."""
    folder = places.operator_dir()
    try:
        data = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return Operator(folder, data["name"], data["sshPublicKey"], data["csr"], data["keySha256"])
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"this user has no operator keys in {folder}"
        raise GaxxError(message, hint='`eval "$(gaxx env)"` or `gaxx init` makes them') from error
    except (ValueError, KeyError, TypeError) as error:
        message = f"{folder / RECORD}: damaged: {error}"
        raise GaxxError(message, hint=f"move {folder} away and run `gaxx env`, then `pulumi up`") from error


def ensure(name: str = "") -> tuple[Operator, bool]:
    """Return the operator's identity and whether it was made just now.

    Made in a folder beside and renamed: of two that start at once, both use the keys of the first.
    """
    folder = places.operator_dir()
    if (folder / RECORD).exists():
        return load(), False
    import shutil
    import tempfile

    private.folder(folder.parent)
    fresh = pathlib.Path(tempfile.mkdtemp(dir=folder.parent, prefix=".operator-"))
    try:
        make(fresh, name or default_name())
        try:
            fresh.rename(folder)
        except OSError as error:
            if not (folder / RECORD).exists():
                message = f"{folder} exists, but holds no {RECORD}"
                raise GaxxError(message, hint="move it away and try again") from error
            return load(), False
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return load(), True


def default_name() -> str:
    """The user's login name, fit for a certificate: lower-case letters, digits and hyphens."""
    try:
        import getpass  # only here

        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid-{os.getuid()}"
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-") or f"uid-{os.getuid()}"


def principal(inventory: Inventory, operator: Operator) -> Principal:
    """Find this controller among the stack's principals; raise Refused when it is not there."""
    for entry in inventory.principals:
        if entry.key_sha256 == operator.key_sha256:
            return entry
    known = ", ".join(entry.name for entry in inventory.principals) or "nobody"
    message = f"this controller's operator key is not among the stack's operators: {operator.name} ({operator.folder})"
    raise Refused(message, hint=f"stack {inventory.stack} knows {known}; add the key to gaxx:operators and `pulumi up`")


def agent_identity(inventory: Inventory, operator: Operator) -> "Identity":
    """Return certificate, key and token with which to call the agents of a stack; raise Refused."""
    from agent.client import Identity  # loads gRPC, which most verbs need not

    me = principal(inventory, operator)
    return Identity(certificate_pem=me.certificate, key_pem=_tls_key(operator), token=me.token)


def _tls_key(operator: Operator) -> str:
    try:
        return private.read(operator.tls_key)
    except FileNotFoundError as error:
        message = f"{operator.tls_key} is missing"
        raise GaxxError(message, hint=f"move {operator.folder} away, then `gaxx env` and `pulumi up`") from error


def make(folder: pathlib.Path, name: str) -> None:
    """Write new keys and their record into a folder that is there and private."""
    import hashlib

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    ssh = ed25519.Ed25519PrivateKey.generate()
    none = serialization.NoEncryption()
    ssh_private = ssh.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, none)
    ssh_public = ssh.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    public_line = f"{ssh_public.decode()} {name}"
    tls = ec.generate_private_key(ec.SECP256R1())
    tls_private = tls.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, none)
    spki = tls.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(tls, hashes.SHA256())
    csr = request.public_bytes(serialization.Encoding.PEM).decode()
    record = {"name": name, "sshPublicKey": public_line, "csr": csr, "keySha256": hashlib.sha256(spki).hexdigest()}
    private.create(folder / SSH_KEY, ssh_private)
    private.create(folder / TLS_KEY, tls_private)
    private.create(folder / f"{SSH_KEY}.pub", f"{public_line}\n".encode())
    private.create(folder / CSR, csr.encode())
    private.create(folder / RECORD, json.dumps(record, indent=1).encode())
