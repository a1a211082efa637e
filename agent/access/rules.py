"""Who may do what: certificate, role, serial and token of every call, and a record of each refusal."""

import asyncio
import contextvars
import datetime as dt
import hashlib
import hmac
import logging
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, cast

import grpc.aio

from agent.access.denied import Denied, Reason
from agent.access.peer import Peer, read_peer
from agent.access.tokens import Tokens
from agent.audit import events as audit_events
from agent.audit.trail import Trail
from agent.errors import SAID_BY_AGENT
from agent.manifest import Manifest, Principal

_audit = logging.getLogger("gaxx.audit")

# What a role may call; an operator everything.
OBSERVER_METHODS = frozenset(
    {
        "/gaxx.agent.v1.Agent/Info",
        "/gaxx.agent.v1.Agent/Logs",
        "/gaxx.agent.v1.Agent/Audit",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.health.v1.Health/List",
        "/metrics",
    }
)

current_principal: contextvars.ContextVar[Principal] = contextvars.ContextVar("current_principal")
"""Who makes the call that runs; set before every handler."""

_OLD_TLS = ("TLSv1", "TLSv1.0", "TLSv1.1", "SSLv3")


class Access:
    """Decides on calls by the manifest and tokens in force, and remembers the calls that go on."""

    def __init__(
        self, manifest: Manifest, tokens: Tokens, *, require_mtls: bool, count: Callable[[Reason], None], trail: Trail
    ) -> None:
        self._manifest = manifest
        self._tokens = tokens
        self._require_mtls = require_mtls
        self._count = count
        self._refusals = audit_events.Refusals(trail)
        self._connections = audit_events.Connections(trail)
        self._live: dict[asyncio.Task[Any], tuple[str, Mapping[str, Any], str, str]] = {}
        self._revoked: dict[asyncio.Task[Any], Denied] = {}

    def replace(self, manifest: Manifest, tokens: Tokens) -> None:
        """Put another manifest in force, and end the calls that it would refuse."""
        self._manifest = manifest
        self._tokens = tokens
        for task, (method, auth, authorization, peer) in list(self._live.items()):
            try:
                self.decide(method, auth, authorization)
            except Denied as denied:
                self.record(denied, method, peer)
                self._revoked[task] = denied
                task.cancel()

    def decide(self, method: str, auth: Mapping[str, Any], authorization: str) -> Principal:
        """Return who calls. `auth` is gRPC's auth context. Raises Denied."""
        for version in auth.get("ssl_tls_version", ()):
            if bytes(version).decode() in _OLD_TLS:
                message = "TLS 1.2 or newer is required"
                raise Denied(message, "old_tls")
        pem = next(iter(auth.get("x509_pem_cert", ())), b"")
        if pem:
            principal = self._principal(read_peer(bytes(pem)))
            self._check_token(principal, authorization)
        elif self._require_mtls:
            message = "a client certificate is required"
            raise Denied(message, "no_certificate")
        else:
            principal = self._by_token(authorization)
        if principal.role != "operator" and (principal.role != "observer" or method not in OBSERVER_METHODS):
            message = f"{principal.name} has role {principal.role}, which may not call {method.rpartition('/')[2]}"
            raise Denied(message, "role", name=principal.name)
        return principal

    def _principal(self, peer: Peer) -> Principal:
        now = dt.datetime.now(dt.UTC)
        if not peer.not_before <= now <= peer.not_after:
            # Valid in the handshake, no longer now: a connection can be old.
            message = f"the certificate of {peer.name} is valid from {peer.not_before} to {peer.not_after}"
            raise Denied(message, "expired_certificate", name=peer.name)
        if peer.serial in self._manifest.denied_serials:
            message = f"the certificate {peer.serial:x} of {peer.name} is denied"
            raise Denied(message, "denied_serial", name=peer.name)
        if peer.role == "node":
            message = f"{peer.name} is a node; nodes may not call nodes"
            raise Denied(message, "role", name=peer.name)
        if not self._manifest.lists_principals:
            if self._tokens.by_name and peer.name not in self._tokens.by_name:
                message = f"{peer.name} is not known to this node"
                raise Denied(message, "unknown_principal", name=peer.name)
            hashes = self._tokens.by_name.get(peer.name, self._tokens.for_all)
            return Principal(name=peer.name, role=peer.role, token_sha256=hashes)
        known = self._manifest.principals.get(peer.name)
        if known is None:
            message = f"{peer.name} is not among this node's operators and observers"
            raise Denied(message, "unknown_principal", name=peer.name)
        if known.role != peer.role:
            message = f"{peer.name} is {known.role} here; the certificate says {peer.role}"
            raise Denied(message, "role_mismatch", name=peer.name)
        if known.certificate_serial and int(known.certificate_serial, 16) != peer.serial:
            message = f"the certificate {peer.serial:x} of {peer.name} has been replaced by another"
            raise Denied(message, "wrong_serial", name=peer.name)
        if not known.token_sha256:
            hashes = self._tokens.by_name.get(peer.name, self._tokens.for_all)
            return Principal(known.name, known.role, hashes, known.certificate_serial)
        return known

    def _check_token(self, principal: Principal, authorization: str) -> None:
        digest = _token_digest(authorization, principal.name)
        if not _fits(digest, principal.token_sha256):
            message = f"the token is not the one of {principal.name}"
            raise Denied(message, "wrong_token", name=principal.name)

    def _by_token(self, authorization: str) -> Principal:
        """Find who calls without a certificate: only where mutual TLS was switched off on loopback."""
        digest = _token_digest(authorization, "")
        candidates = list(self._manifest.principals.values())
        candidates += [Principal(name, "operator", hashes) for name, hashes in self._tokens.by_name.items()]
        candidates.append(Principal("anyone", "operator", self._tokens.for_all))
        for principal in candidates:
            if _fits(digest, principal.token_sha256):
                return principal
        message = "the token is not known"
        raise Denied(message, "wrong_token")

    def record(self, denied: Denied, method: str, peer: str) -> None:
        """Count, log and note one refusal."""
        self._count(denied.reason)
        self._refusals.add(denied, method, peer)
        _audit.warning(
            "refused: %s",
            denied.message,
            extra={
                "event": "refused",
                "reason": denied.reason,
                "principal": denied.name,
                "method": method,
                "peer": peer,
            },
        )

    async def admit(self, method: str, context: grpc.aio.ServicerContext[Any, Any]) -> Principal:
        """Decide on a call inside its handler; a refused one ends here."""
        auth = cast("Mapping[str, Any]", context.auth_context())
        authorization = _authorization(context)
        try:
            principal = self.decide(method, auth, authorization)
        except Denied as denied:
            self.record(denied, method, str(context.peer()))
            await _abort(context, denied)
        self.connected(principal, auth, str(context.peer()), "agent")
        current_principal.set(principal)
        task = asyncio.current_task()
        if task is not None:
            self._live[task] = (method, auth, authorization, str(context.peer()))
            task.add_done_callback(self._forget)
        return principal

    def connected(self, principal: Principal, auth: Mapping[str, Any], peer: str, port: str) -> None:
        """Note who has come over a connection; calls that follow on it say nothing new."""
        self._connections.seen(principal, auth, peer, port)

    async def tell_revoked(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """End the current call with the reason why `replace` cancelled it, if it did."""
        task = asyncio.current_task()
        denied = self._revoked.get(task) if task is not None else None
        if denied is not None:
            await _abort(context, denied)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._live.pop(task, None)
        self._revoked.pop(task, None)


async def _abort(context: grpc.aio.ServicerContext[Any, Any], denied: Denied) -> NoReturn:
    await context.abort(denied.status, denied.message, (SAID_BY_AGENT,))
    raise denied


def _authorization(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            return value if isinstance(value, str) else ""
    return ""


def _fits(digest: str, expected: tuple[str, ...]) -> bool:
    """Compare with all, whichever fits, so that the time tells nothing."""
    fits = [hmac.compare_digest(digest, one) for one in expected]
    return any(fits)


def _token_digest(authorization: str, name: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        message = "a bearer token is required beside the certificate"
        raise Denied(message, "no_token", name=name)
    return hashlib.sha256(token.encode()).hexdigest()
