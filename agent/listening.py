"""Ports to be listened on: whether they are free, and the words when they are not."""

import errno
import socket

from agent.errors import AgentError


def bracketed(address: str) -> str:
    """Return the address as it stands before a port."""
    return f"[{address}]" if ":" in address else address


def require_free(address: str, port: int) -> None:
    """Bind for a moment: gRPC would not say why it cannot. Raises AgentError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as fault:
            raise AgentError(taken(address, port, reason(fault))) from fault


def reason(fault: OSError) -> str:
    """Say why an address cannot be listened on."""
    reasons = {
        errno.EADDRINUSE: "the port is taken by another process",
        errno.EADDRNOTAVAIL: "this machine does not have the address",
        errno.EACCES: "the port needs privileges",
    }
    return reasons.get(fault.errno or 0, fault.strerror or "it cannot be bound")


def taken(address: str, port: int, why: str) -> str:
    """The one line for whoever started the agent."""
    return f"cannot listen on {bracketed(address)}:{port}: {why}"
