"""The stack's authority: the one key that nodes and operators are certified and commanded by.

Its private half is the secret stack configuration `gaxx:authorityKey`; it is read by the provider as its
own configuration and is never an input of a resource. Nodes know only its public half.
"""

import base64
import datetime as dt
import hashlib
import ipaddress
import secrets
import typing
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from components import sshsig
from components.errors import GaxxError, Refused

BUNDLE_NAMESPACE = "gaxx-bundle"
MANIFEST_NAMESPACE = "gaxx-manifest"

_AUTHORITY_DAYS = 3650
_SERIAL_BITS = 128
# A node's clock may be behind ours, by hours where a hardware clock has local time; a certificate must be valid there.
_SKEW = dt.timedelta(days=1)
# What gRPC's TLS library verifies by default; P-521 and Ed25519 fail there in the handshake.
_CURVES = (ec.SECP256R1, ec.SECP384R1)
_TOKEN_BYTES = 32
_COMMON_NAME_LIMIT = 64
_UINT64_MAX = 2**64 - 1

Role = typing.Literal["operator", "observer"]


class Authority:
    """A private key with its self-signed certificate. `repr` shows the fingerprint only."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    def __repr__(self) -> str:
        return f"Authority(fingerprint={self.fingerprint!r})"

    @classmethod
    def create(cls, name: str) -> "Authority":
        """Make a new authority; `name` is shown to people who inspect certificates."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(name)
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            _builder(subject, key.public_key(), _AUTHORITY_DAYS)
            .issuer_name(subject)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def from_pem(cls, text: str) -> "Authority":
        """Read what `pem` wrote: private key and certificate, in either order; raise GaxxError otherwise."""
        hint = "`gaxx init` makes gaxx:authorityKey; its value is a private key and a certificate, both PEM"
        try:
            key = serialization.load_pem_private_key(text.encode(), password=None)
            certificate = x509.load_pem_x509_certificate(text.encode())
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            # The parser's own message may quote the input, and the input is a secret.
            message = "the authority's key is not a readable PEM private key with a certificate"
            raise GaxxError(message, hint=hint) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            message = "the authority's key is not on the curve P-256"
            raise GaxxError(message, hint=hint)
        if certificate.public_key() != key.public_key():
            message = "the authority's certificate belongs to another key"
            raise GaxxError(message, hint=hint)
        return cls(key, certificate)

    @property
    def pem(self) -> str:
        """The secret: private key and certificate, the value of `gaxx:authorityKey`."""
        key = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key.decode() + self.certificate_pem

    @property
    def certificate_pem(self) -> str:
        """The root that every certificate of the stack is checked against."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def ssh_public_key(self) -> str:
        """The same key for SSH: trusted user CA and signer of bundles and manifests; no comment."""
        return sshsig.public_key_line(self._key.public_key())

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of the DER SubjectPublicKeyInfo."""
        return _spki_sha256(self._key.public_key())

    def sign_node_csr(
        self, csr_pem: str, *, name: str, dns_names: Sequence[str], addresses: Sequence[str], days: float
    ) -> str:
        """Certify a node's TLS key for serving; the names are ours, whatever the request says."""
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"gaxx:node:{name}")]
        names += [x509.DNSName(dns_name) for dns_name in dns_names]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        return self._sign(csr_pem, name=name, names=names, usage=ExtendedKeyUsageOID.SERVER_AUTH, days=days)

    def sign_client_csr(self, csr_pem: str, *, name: str, role: Role, days: float) -> str:
        """Certify an operator's or observer's TLS key for calling nodes."""
        names = [x509.UniformResourceIdentifier(f"gaxx:{role}:{name}")]
        return self._sign(csr_pem, name=name, names=names, usage=ExtendedKeyUsageOID.CLIENT_AUTH, days=days)

    def sign_ssh_user(self, public_key_line: str, *, principals: Sequence[str], valid_s: float, key_id: str) -> str:
        """Issue an OpenSSH user certificate for the given public key; terminal and forwarding permitted."""
        if not principals:
            message = "an SSH certificate without principals would be valid for every account"
            raise Refused(message)
        try:
            public_key = serialization.load_ssh_public_key(public_key_line.encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            message = f"not an SSH public key: {public_key_line[:40]!r}"
            raise Refused(message) from error
        if isinstance(public_key, dsa.DSAPublicKey):
            message = "DSA keys are not accepted"
            raise Refused(message)
        now = dt.datetime.now(dt.UTC)
        builder = (
            serialization.SSHCertificateBuilder()
            .public_key(public_key)
            .serial(secrets.randbelow(_UINT64_MAX) + 1)
            .type(serialization.SSHCertificateType.USER)
            .key_id(key_id.encode())
            .valid_principals([principal.encode() for principal in principals])
            .valid_after(int((now - _SKEW).timestamp()))
            .valid_before(int(now.timestamp() + valid_s))
        )
        for extension in (b"permit-agent-forwarding", b"permit-port-forwarding", b"permit-pty"):
            builder = builder.add_extension(extension, b"")
        return builder.sign(self._key).public_bytes().decode()

    def sign_detached(self, data: bytes, namespace: str) -> str:
        """Sign a bundle or manifest; armored, checked by `ssh-keygen -Y verify -n <namespace>`."""
        return sshsig.sign(data, namespace, self._key)

    def token(self, principal: str, generation: int = 1) -> str:
        """Derive a principal's bearer token: the same for the same generation, so nothing need be stored."""
        info = f"gaxx bearer token|{generation}|{principal}".encode()
        scalar = self._key.private_numbers().private_value.to_bytes(32, "big")
        derived = HKDF(hashes.SHA256(), _TOKEN_BYTES, salt=None, info=info).derive(scalar)
        return base64.urlsafe_b64encode(derived).rstrip(b"=").decode()

    def _sign(
        self, csr_pem: str, *, name: str, names: Iterable[x509.GeneralName], usage: x509.ObjectIdentifier, days: float
    ) -> str:
        request = load_csr(csr_pem)
        certificate = (
            _builder(_subject(name), request.public_key(), days)
            .issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_leaf_usage(), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()


def load_csr(csr_pem: str) -> x509.CertificateSigningRequest:
    """Read a signing request and check that its sender holds the key and that TLS takes it; raise Refused."""
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode())
        key = request.public_key()
        valid = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        message = "not a PEM certificate signing request"
        raise Refused(message) from error
    if not valid:
        message = "the certificate signing request is not signed by its own key"
        raise Refused(message)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, _CURVES):
        message = "the certificate signing request's key must be on the curve P-256 or P-384"
        raise Refused(message)
    return request


def csr_key_sha256(csr_pem: str) -> str:
    """Hex sha256 of the DER SubjectPublicKeyInfo of a signing request; raise Refused on an unfit one."""
    return _spki_sha256(load_csr(csr_pem).public_key())


def certificate_serial(certificate_pem: str) -> str:
    """The serial as lists of denied serials write it: lower-case hex without leading zeros."""
    return format(x509.load_pem_x509_certificate(certificate_pem.encode()).serial_number, "x")


def token_sha256(token: str) -> str:
    """What nodes store of a token, in hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def _spki_sha256(key: typing.Any) -> str:
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _subject(name: str) -> x509.Name:
    # X.520 limits the common name; the whole name is in the SAN, which is what is checked.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_COMMON_NAME_LIMIT])])


def _builder(subject: x509.Name, key: typing.Any, days: float) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    # The top bit is set so that every serial has the same length; 0 and short ones never occur.
    serial = secrets.randbits(_SERIAL_BITS - 1) | 1 << (_SERIAL_BITS - 1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _leaf_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
