"""What a failed call says of a node: every gRPC status has one meaning for the person who waits.

On the wire our own expired or foreign certificate looks like a dying agent (the client of a TLS handshake sees
no alert): who reads REFUSED_OR_DOWN looks at our own certificate first.
"""

import re

import grpc

from tasks.outcome import Ending

_CONNECT = re.compile(r"Failed to connect to remote host: (?:connect: )?(?P<why>[^()]*?)(?: \(\d+\))?$")
_FOREIGN = re.compile(
    r"CERTIFICATE_VERIFY_FAILED|Hostname Verification Check failed|Peer name .* is not in peer certificate"
)
REFUSED_OR_DOWN = "refused or down; `gaxx audit --kind refused` says which"

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
        return REFUSED_OR_DOWN
    return details or "no reason given"
