"""The people of a stack as its configuration declares them: public halves of their keys, and a role."""

import base64
import binascii
import dataclasses
import re
import typing

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from components.authority import csr_key_sha256
from components.errors import Refused
from components.inventory import Role
from components.settings_reader import Reader, shown

ROLES = typing.get_args(Role)
SSH_KEY_TYPES = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
)
_RSA_BITS = 3072
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_KEYS = ("name", "role", "sshPublicKey", "csr")


@dataclasses.dataclass(frozen=True, slots=True)
class OperatorSettings:
    """One person or CI: everything here is public."""

    name: str
    role: Role
    ssh_public_key: str
    """OpenSSH's form without comment; empty for an observer who needs no SSH."""
    csr: str
    """PEM."""
    key_sha256: str
    """Hex sha256 of the DER SubjectPublicKeyInfo of the CSR's key."""


def read_operators(reader: Reader, key: str = "operators") -> tuple[OperatorSettings, ...]:
    """Read the list of operators; faults are noted in the reader."""
    operators = []
    names: dict[str, str] = {}
    keys: dict[str, str] = {}
    for entry in reader.readers(key):
        operator = _read_operator(entry)
        for value, seen, field in ((operator.name.lower(), names, "name"), (operator.key_sha256, keys, "csr")):
            if value in seen:
                entry.add(field, f"the same {field} as {seen[value]}; each operator has one of their own")
            elif value:
                seen[value] = entry.path
        operators.append(operator)
    return tuple(operators)


def _read_operator(entry: Reader) -> OperatorSettings:
    entry.refuse_unknown(_KEYS)
    name = entry.text("name")
    if name and not _NAME.fullmatch(name):
        entry.add("name", f"{shown(name)} is not a name; letters, digits and . _ @ - (at most 63) make one")
    role = typing.cast("Role", entry.choice("role", ROLES, "operator"))
    line = entry.text("sshPublicKey", "" if role == "observer" else None)
    try:
        ssh_public_key = parse_ssh_public_key(line) if line else ""
    except ValueError as error:
        entry.add("sshPublicKey", str(error))
        ssh_public_key = ""
    csr = entry.text("csr")
    key_sha256 = ""
    if "PRIVATE KEY" in csr:
        entry.add("csr", "this is a private key: it stays with its owner; the certificate signing request goes here")
    elif csr:
        try:
            key_sha256 = csr_key_sha256(csr)
        except Refused as error:
            entry.add("csr", f"{error.message}; `gaxx init` makes one")
    return OperatorSettings(name=name, role=role, ssh_public_key=ssh_public_key, csr=csr, key_sha256=key_sha256)


def parse_ssh_public_key(line: str) -> str:
    """Check one public key in OpenSSH's form and give it without its comment; raise ValueError."""
    if "PRIVATE KEY" in line:
        message = "this is a private key: it stays with its owner; the content of the .pub file goes here"
        raise ValueError(message)
    right = "the content of a .pub file is (one line: type and base64)"
    words = line.split()
    if len(words) < 2 or "\n" in line.strip():  # noqa: PLR2004 - type and key
        message = f"{shown(line)} is not a public key; {right}"
        raise ValueError(message)
    if words[0] not in SSH_KEY_TYPES:
        message = f"the key type {shown(words[0])} is not accepted; {', '.join(SSH_KEY_TYPES[:3])} are"
        raise ValueError(message)
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        message = f"the key's base64 is damaged; {right}"
        raise ValueError(message) from None
    name = words[0].encode()
    if not blob.startswith(len(name).to_bytes(4, "big") + name):
        message = f"the key does not hold what its type says; {right}"
        raise ValueError(message)
    try:
        key = serialization.load_ssh_public_key(f"{words[0]} {words[1]}".encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        message = f"the key is damaged; {right}"
        raise ValueError(message) from error
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _RSA_BITS:
        message = f"an RSA key of {key.key_size} bits is too short; ssh-ed25519, or RSA from {_RSA_BITS} bits, is not"
        raise ValueError(message)
    return f"{words[0]} {words[1]}"
