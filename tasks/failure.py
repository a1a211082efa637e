"""What a failed call says of a node: every gRPC status has one meaning for the person who waits.

On the wire our own missing, expired or foreign certificate looks like a dying agent (the client of a TLS
handshake sees no alert): `own_fault` looks at our side first, and what is left is "refused or down".
"""

import datetime as dt
import re
import typing

import grpc

from tasks.outcome import Ending

if typing.TYPE_CHECKING:
    from components.inventory import Inventory, Principal

_CONNECT = re.compile(r"Failed to connect to remote host: (?:connect: )?(?P<why>[^()]*?)(?: \(\d+\))?$")
_FOREIGN = re.compile(
    r"CERTIFICATE_VERIFY_FAILED|Hostname Verification Check failed|Peer name .* is not in peer certificate"
)
AUDIT_HINT = "refused or down; the node's audit says which"

_NEVER: dict[grpc.StatusCode, Ending] = {
    grpc.StatusCode.UNAVAILABLE: Ending.UNREACHABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Ending.UNREACHABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Ending.UNREACHABLE,
    grpc.StatusCode.ABORTED: Ending.UNREACHABLE,
    grpc.StatusCode.UNAUTHENTICATED: Ending.REFUSED,
    grpc.StatusCode.PERMISSION_DENIED: Ending.REFUSED,
    grpc.StatusCode.CANCELLED: Ending.CANCELLED,
}


def classify(code: grpc.StatusCode, details: str, *, started: bool) -> tuple[Ending, str]:
    """Map the status of a call that failed to an ending and one line of reason."""
    text = " ".join(details.split())
    if started:
        # The process ran: how far, nobody knows; a refusal can no longer be one.
        return Ending.LOST, f"the connection broke: {_short(text)}"
    ending = _NEVER.get(code, Ending.ERROR)
    if code is grpc.StatusCode.UNAVAILABLE and _FOREIGN.search(text):
        return Ending.REFUSED, "the node's certificate is not from the stack's authority, or not this node's"
    if ending is Ending.UNREACHABLE:
        return ending, _short(text)
    if ending is Ending.ERROR:
        return ending, f"{code.name}: {text}"
    return ending, text


def _short(details: str) -> str:
    # gRPC repeats addresses and its own layers; equal reasons should read, and fold, as equal.
    found = _CONNECT.search(details)
    if found:
        return found["why"].lower()
    if "Socket closed" in details or "handshake" in details.lower() or "Connection reset" in details:
        return AUDIT_HINT
    return details or "no reason given"


def own_fault(known: "Inventory", me: "Principal") -> str:
    """Say what is wrong with our own certificate (dates, issuer, role); "" when nothing is."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    certificate = x509.load_pem_x509_certificate(me.certificate.encode())
    authority = x509.load_pem_x509_certificate(known.authority_certificate.encode())
    now = dt.datetime.now(dt.UTC)
    if now < certificate.not_valid_before_utc:
        return f"our certificate is valid only from {_time(certificate.not_valid_before_utc)}; check the clock"
    if now > certificate.not_valid_after_utc:
        return f"our certificate expired at {_time(certificate.not_valid_after_utc)}; `pulumi up` renews it"
    if now > authority.not_valid_after_utc:
        return f"the authority's certificate expired at {_time(authority.not_valid_after_utc)}"
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return "our certificate was not issued by the stack's authority"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    expected = f"gaxx:{me.role}:{me.name}"
    return "" if expected in uris else f"our certificate does not carry the role {expected}"


def _time(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
