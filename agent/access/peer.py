"""Who a certificate says its bearer is."""

import datetime as dt
import functools
from dataclasses import dataclass
from typing import cast

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.access.denied import Denied
from agent.manifest import Role


@dataclass(frozen=True)
class Peer:
    """What a certificate of the authority says of its bearer."""

    name: str
    role: Role
    serial: int
    not_before: dt.datetime
    not_after: dt.datetime


@functools.lru_cache(maxsize=256)
def read_peer(pem: bytes) -> Peer:
    """Read name, role and serial from a certificate that TLS has verified. Raises Denied."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, x509.ExtensionNotFound) as fault:
        message = "the certificate names no principal"
        raise Denied(message, "bad_certificate") from fault
    uris = [uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if uri.startswith("gaxx:")]
    if len(uris) != 1:
        message = f"the certificate carries {len(uris)} gaxx identities; it must carry one"
        raise Denied(message, "bad_certificate")
    _, _, rest = uris[0].partition(":")
    role, _, name = rest.partition(":")
    if role not in ("operator", "observer", "node") or not name:
        message = f"the certificate's identity {uris[0]!r} is not gaxx:<role>:<name>"
        raise Denied(message, "bad_certificate")
    if ExtendedKeyUsageOID.CLIENT_AUTH not in uses and role != "node":
        message = "the certificate is not for clients"
        raise Denied(message, "bad_certificate", name=name)
    return Peer(
        name=name,
        role=cast("Role", role),
        serial=certificate.serial_number,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )
