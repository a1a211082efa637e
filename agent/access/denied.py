"""The ways in which a caller can be refused: a closed set, for the status, the audit line and the count."""

from typing import Literal

import grpc

Reason = Literal[
    "no_certificate",
    "bad_certificate",
    "expired_certificate",
    "old_tls",
    "denied_serial",
    "unknown_principal",
    "role_mismatch",
    "wrong_serial",
    "no_token",
    "wrong_token",
    "role",
    "handshake",
]
_UNAUTHENTICATED: frozenset[Reason] = frozenset({"no_token", "wrong_token"})


class Denied(Exception):  # noqa: N818 - reads as what happened
    """A call is refused: `reason` is one of a closed set, the message is for the caller."""

    def __init__(self, message: str, reason: Reason, *, name: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.name = name

    @property
    def status(self) -> grpc.StatusCode:
        """UNAUTHENTICATED for tokens, PERMISSION_DENIED for all else."""
        if self.reason in _UNAUTHENTICATED:
            return grpc.StatusCode.UNAUTHENTICATED
        return grpc.StatusCode.PERMISSION_DENIED
