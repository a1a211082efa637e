"""Detached SSH signatures as `ssh-keygen -Y verify` checks them (OpenSSH's PROTOCOL.sshsig, version 1).

Every node has ssh-keygen, so the enrolment helper can check what it installs without a library.
"""

import base64
import hashlib
import textwrap

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

_MAGIC = b"SSHSIG"
_VERSION = 1
_DIGEST = "sha512"
_KEY_TYPE = b"ecdsa-sha2-nistp256"
_ARMOR_COLUMNS = 70


def sign(data: bytes, namespace: str, key: ec.EllipticCurvePrivateKey) -> str:
    """Sign `data` for one purpose, named by `namespace`; a P-256 key, armored text ending in a newline."""
    digest = hashlib.sha512(data).digest()
    labels = _string(namespace.encode()) + _string(b"") + _string(_DIGEST.encode())
    signature = key.sign(_MAGIC + labels + _string(digest), ec.ECDSA(hashes.SHA256()))
    r, s = utils.decode_dss_signature(signature)
    blob = (
        _MAGIC
        + _VERSION.to_bytes(4, "big")
        + _string(_public_blob(key.public_key()))
        + labels
        + _string(_string(_KEY_TYPE) + _string(_mpint(r) + _mpint(s)))
    )
    lines = textwrap.wrap(base64.b64encode(blob).decode(), _ARMOR_COLUMNS)
    return "\n".join(("-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""))


def public_key_line(key: ec.EllipticCurvePublicKey) -> str:
    """Write a P-256 public key as OpenSSH does, without a comment."""
    return f"{_KEY_TYPE.decode()} {base64.b64encode(_public_blob(key)).decode()}"


def _public_blob(key: ec.EllipticCurvePublicKey) -> bytes:
    numbers = key.public_numbers()
    point = b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    return _string(_KEY_TYPE) + _string(b"nistp256") + _string(point)


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def _mpint(value: int) -> bytes:
    # Two's complement, so a set top bit needs a zero byte in front: bit_length // 8 + 1 gives just that.
    return _string(value.to_bytes(value.bit_length() // 8 + 1, "big"))
