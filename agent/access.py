"""Who may do what: certificate, role, serial and token of every call, and a record of each refusal.

gRPC's interceptors see only the method and its metadata, so the handlers themselves are wrapped: inside
a handler the context knows the peer's certificate.
"""

import asyncio
import contextlib
import contextvars
import datetime as dt
import functools
import hashlib
import hmac
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, cast

import grpc
import grpc.aio
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.errors import SAID_BY_AGENT
from agent.manifest import Manifest, Principal, Role

_audit = logging.getLogger("gaxx.audit")

# What a role may call; an operator everything.
OBSERVER_METHODS = frozenset(
    {
        "/gaxx.agent.v1.Agent/Info",
        "/gaxx.agent.v1.Agent/Logs",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.health.v1.Health/List",
        "/metrics",
    }
)

current_principal: contextvars.ContextVar[Principal] = contextvars.ContextVar("current_principal")
"""Who makes the call that runs; set before every handler."""

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
_OLD_TLS = ("TLSv1", "TLSv1.0", "TLSv1.1", "SSLv3")


@dataclass(frozen=True)
class Peer:
    """What a certificate of the authority says of its bearer."""

    name: str
    role: Role
    serial: int
    not_before: dt.datetime
    not_after: dt.datetime


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


class Tokens:
    """Hashes of tokens that a token file or the environment gave, for nodes without a manifest's list.

    One raw token is good for every principal with a certificate; lines `<principal> sha256:<hex>` each for one.
    """

    def __init__(self, text: str) -> None:
        self.for_all: tuple[str, ...] = ()
        self.by_name: dict[str, tuple[str, ...]] = {}
        text = text.strip()
        if " " not in text:
            if text:
                self.for_all = (hashlib.sha256(text.encode()).hexdigest(),)
            return
        for line in text.splitlines():
            name, _, digest = line.strip().partition(" ")
            if not name or name.startswith("#"):
                continue
            kind, _, value = digest.strip().partition(":")
            if kind != "sha256" or len(value) != hashlib.sha256().digest_size * 2:
                message = f"the token of {name!r} is not written as sha256:<64 hex digits>"
                raise ValueError(message)
            self.by_name[name] = (*self.by_name.get(name, ()), value.lower())

    @classmethod
    def read(cls, token: str, token_file: Path | None) -> "Tokens":
        """Read them from where the configuration says. Raises OSError, ValueError; the text is never in a message."""
        tokens = cls(token_file.read_text(encoding="utf-8") if token_file is not None else token)
        if not tokens.for_all and not tokens.by_name:
            message = "the token is empty"
            raise ValueError(message)
        return tokens


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


class Access:
    """Decides on calls by the manifest and tokens in force, and remembers the calls that go on."""

    def __init__(
        self, manifest: Manifest, tokens: Tokens, *, require_mtls: bool, count: Callable[[Reason], None]
    ) -> None:
        self._manifest = manifest
        self._tokens = tokens
        self._require_mtls = require_mtls
        self._count = count
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
        """Count and log one refusal."""
        self._count(denied.reason)
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
        current_principal.set(principal)
        task = asyncio.current_task()
        if task is not None:
            self._live[task] = (method, auth, authorization, str(context.peer()))
            task.add_done_callback(self._forget)
        return principal

    def revoked(self) -> Denied | None:
        """Return why the current call was ended by `replace`, if it was."""
        task = asyncio.current_task()
        return self._revoked.get(task) if task is not None else None

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._live.pop(task, None)
        self._revoked.pop(task, None)


class Guard(grpc.aio.ServerInterceptor):  # type: ignore[type-arg] # generic in the stubs only
    """Puts `Access` before every handler of the server, whichever service it belongs to."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the handler with the check in front of it."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        return guard(handler, handler_call_details.method, self._access)


def guard(handler: Any, method: str, access: Access) -> Any:
    """Wrap one method handler of any of the four kinds."""
    if handler.response_streaming:
        inner = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def stream(request: Any, context: Any) -> None:
            await access.admit(method, context)
            try:
                answer = inner(request, context)
                if isinstance(answer, AsyncGenerator):
                    # Closed at once when the client goes, also in the middle of a write.
                    async with contextlib.aclosing(answer):
                        async for message in answer:
                            await context.write(message)
                else:
                    await answer
            except asyncio.CancelledError:
                await _tell_revoked(access, context)
                raise

        make = (
            grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        )
        return make(stream, handler.request_deserializer, handler.response_serializer)
    inner = handler.stream_unary if handler.request_streaming else handler.unary_unary

    async def single(request: Any, context: Any) -> Any:
        await access.admit(method, context)
        try:
            return await inner(request, context)
        except asyncio.CancelledError:
            await _tell_revoked(access, context)
            raise

    make_single = (
        grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
    )
    return make_single(single, handler.request_deserializer, handler.response_serializer)


async def _tell_revoked(access: Access, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    denied = access.revoked()
    if denied is not None:
        await _abort(context, denied)


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
