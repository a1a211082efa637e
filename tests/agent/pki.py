"""A throw-away authority, and certificates with any fault that a test wants."""

import dataclasses
import datetime as dt
import ipaddress
import secrets
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

TLS_NAME = "demo-1.demo.gaxx"
_DAY = dt.timedelta(days=1)


@dataclasses.dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate_pem: str
    key_pem: str
    serial: int


class ThrowAwayAuthority:
    """Signs whatever a test asks for."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test {secrets.token_hex(4)}")])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * _DAY)
            .not_valid_after(now + _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(Encoding.PEM).decode()

    def node(self, address: str) -> Pair:
        """A node's server certificate."""
        names: list[x509.GeneralName] = [
            x509.DNSName(TLS_NAME),
            x509.IPAddress(ipaddress.ip_address(address)),
            x509.UniformResourceIdentifier("gaxx:node:demo-1"),
        ]
        return self._sign("demo-1", names, [ExtendedKeyUsageOID.SERVER_AUTH], ends_in_days=1)

    def client(self, name: str, role: str = "operator", *, ends_in_days: float = 1) -> Pair:
        """A client's certificate; `ends_in_days` below 0 makes an expired one."""
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"gaxx:{role}:{name}")]
        return self._sign(name, names, [ExtendedKeyUsageOID.CLIENT_AUTH], ends_in_days=ends_in_days)

    def _sign(
        self, name: str, names: Sequence[x509.GeneralName], uses: list[x509.ObjectIdentifier], *, ends_in_days: float
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * _DAY)
            .not_valid_after(now + ends_in_days * _DAY)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return Pair(certificate.public_bytes(Encoding.PEM).decode(), key_pem, certificate.serial_number)
