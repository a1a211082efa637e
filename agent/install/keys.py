"""The node's own keys: made here, kept here; only public parts and a request travel."""

import pathlib
import shutil
import subprocess

from agent.install.layout import InstallError, Layout, wipe, write


def certificate_request(layout: Layout, node: str, *, renew: bool = False) -> str:
    """Return a PEM request for the node's TLS key, which is made when there is none.

    `renew`: for the key that `switch_tls_key` brings into use with its certificate.
    """
    # Loading it takes longer than the other verbs take as a whole.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    path = _next_tls_key(layout) if renew else layout.tls / "node.key"
    if path.exists():
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            message = f"{path} is not an EC key"
            raise InstallError(message)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write(path, pem.decode())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def switch_tls_key(layout: Layout, certificate: str) -> bool:
    """Bring the next TLS key into use if `certificate` is for it, and forget it otherwise; say whether it changed."""
    path = _next_tls_key(layout)
    if not path.exists():
        return False
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if key.public_key() != x509.load_pem_x509_certificate(certificate.encode()).public_key():
        # Of a rotation that was given up.
        wipe(path)
        path.unlink()
        return False
    # The old one is wiped last: whatever happens in between, there is a key.
    current, old = layout.tls / "node.key", layout.tls / "old.key"
    if current.exists():
        current.replace(old)
    path.replace(current)
    wipe(old)
    old.unlink(missing_ok=True)
    return True


def _next_tls_key(layout: Layout) -> pathlib.Path:
    return layout.tls / "next.key"


def next_host_key(layout: Layout) -> str:
    """Return the public part of the host key that the next apply brings into use; make it when there is none."""
    path = layout.next_host_key
    if not path.exists():
        tool = shutil.which("ssh-keygen")
        if tool is None:
            message = "ssh-keygen is missing on the node"
            raise InstallError(message)
        subprocess.run(
            [tool, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True, capture_output=True
        )
    return public_key(path.with_name(path.name + ".pub").read_text())


def current_host_key(layout: Layout) -> str:
    """The public part of the host key in use."""
    return public_key(layout.host_key.with_name(layout.host_key.name + ".pub").read_text())


def switch_host_key(layout: Layout) -> bool:
    """Bring the next host key into use and keep the old one until `forget_old_host_key`; say whether it changed."""
    if not layout.next_host_key.exists():
        return False
    old = layout.host_key.with_name(layout.host_key.name + ".old")
    for suffix in ("", ".pub"):
        current = layout.host_key.with_name(layout.host_key.name + suffix)
        if current.exists():
            # Not copied: what is forgotten later must be the one place where it lies.
            current.replace(old.with_name(old.name + suffix))
        layout.next_host_key.with_name(layout.next_host_key.name + suffix).replace(current)
    return True


def forget_old_host_key(layout: Layout) -> None:
    """A contact over the new key has been made: the bootstrap host key is worthless from now on."""
    for suffix in ("", ".pub"):
        old = layout.host_key.with_name(f"{layout.host_key.name}.old{suffix}")
        wipe(old)
        old.unlink(missing_ok=True)


def public_key(line: str) -> str:
    """Strip the comment off a public key line."""
    return " ".join(line.split()[:2])
