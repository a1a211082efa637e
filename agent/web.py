"""The metrics port: HTTPS with the same mutual TLS and token, for scrapers and for a person's browser.

Written on asyncio streams, because prometheus_client's own server shakes hands in accept, where one
silent peer stalls all others. Here each connection has its own time limits, and there is a bound on them.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from agent.access.denied import Denied
from agent.access.rules import Access

_log = logging.getLogger("gaxx.agent")

HANDSHAKE_S = 5.0
REQUEST_S = 5.0
IDLE_S = 60.0
MAX_CONNECTIONS = 64
_MAX_HEADER_BYTES = 16 * 1024
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}


@dataclass(frozen=True)
class Page:
    """What a path answers."""

    body: bytes
    content_type: str
    status: int = 200


Pages = dict[str, Callable[[], Page]]


class _Accepted(asyncio.Protocol):
    """A connection before its handshake."""

    def __init__(self, accepted: Callable[[asyncio.Transport], None]) -> None:
        self._accepted = accepted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._accepted(cast("asyncio.Transport", transport))


class MetricsServer:
    """Serves `pages` to operators and observers."""

    def __init__(self, pages: Pages, access: Access) -> None:
        self._pages = pages
        self._access = access
        self._server: asyncio.Server | None = None
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, address: str, port: int, context: ssl.SSLContext) -> int:
        """Listen; return the bound port. Raises OSError when it is taken."""
        self._context = context
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Accepted(self._accepted), address, port, reuse_address=True)
        return int(self._server.sockets[0].getsockname()[1])

    def use(self, context: ssl.SSLContext) -> None:
        """Shake hands with this from now on; who is connected stays."""
        self._context = context

    async def stop(self) -> None:
        """Stop listening and drop who is connected."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accepted(self, transport: asyncio.Transport) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            transport.abort()
            return
        # Not a byte is read before the handshake takes over.
        transport.pause_reading()
        task = asyncio.get_running_loop().create_task(self._serve(transport))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, transport: asyncio.Transport) -> None:
        peer = str((transport.get_extra_info("peername") or ("?",))[0])
        tls: asyncio.Transport | None = None
        try:
            reader = asyncio.StreamReader(limit=_MAX_HEADER_BYTES)
            protocol = asyncio.StreamReaderProtocol(reader)
            tls = await self._shake_hands(transport, protocol, peer)
            if tls is not None:
                protocol.connection_made(tls)
                writer = asyncio.StreamWriter(tls, protocol, reader, asyncio.get_running_loop())
                await self._converse(reader, writer)
                tls.close()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # A peer that went away, was silent, or sent a header without end.
            (tls or transport).abort()
        except asyncio.CancelledError:
            (tls or transport).abort()
            raise

    async def _shake_hands(
        self, transport: asyncio.Transport, protocol: asyncio.Protocol, peer: str
    ) -> asyncio.Transport | None:
        """Return the encrypted transport, or nothing when the peer was refused, which is recorded."""
        try:
            return await asyncio.get_running_loop().start_tls(
                transport,
                protocol,
                self._context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=1.0,
            )
        except ssl.SSLCertVerificationError as fault:
            why = fault.verify_message
        except ssl.SSLError as fault:
            why = (fault.reason or "no TLS").lower().replace("_", " ")
        transport.abort()
        self._access.record(Denied(f"in the handshake: {why}", "handshake"), "/metrics", peer)
        return None

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wait_s = REQUEST_S
        while True:
            async with asyncio.timeout(wait_s):
                head = await reader.readuntil(b"\r\n\r\n")
            page, extra = self._answer(head, writer)
            keeps = page.status == 200 and b"connection: close" not in head.lower()  # noqa: PLR2004 - OK
            is_head = head.startswith(b"HEAD ")
            writer.write(_response(page, extra, keeps=keeps, is_head=is_head))
            async with asyncio.timeout(REQUEST_S):
                await writer.drain()
            if not keeps:
                return
            wait_s = IDLE_S

    def _answer(self, head: bytes, writer: asyncio.StreamWriter) -> tuple[Page, str]:
        lines = head.decode("latin-1").split("\r\n")
        parts = lines[0].split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, path, version
            return _plain(400, "this is not HTTP/1.1"), ""
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        try:
            auth = _auth(writer)
            principal = self._access.decide("/metrics", auth, headers.get("authorization", ""))
            self._access.connected(principal, auth, _address(writer), "metrics")
        except Denied as denied:
            peer = writer.get_extra_info("peername") or ("?",)
            self._access.record(denied, "/metrics", str(peer[0]))
            unauthenticated = denied.reason in ("no_token", "wrong_token")
            challenge = 'WWW-Authenticate: Bearer realm="gaxx"\r\n' if unauthenticated else ""
            return _plain(401 if unauthenticated else 403, denied.message), challenge
        if parts[0] not in ("GET", "HEAD"):
            return _plain(405, "only GET and HEAD"), "Allow: GET, HEAD\r\n"
        make = self._pages.get(parts[1].partition("?")[0])
        return (make(), "") if make is not None else (_plain(404, "there are /, /metrics and /healthz"), "")


def tls_context(cert: str, key: str, client_ca: str, *, require_mtls: bool) -> ssl.SSLContext:
    """Return the server side of the same mutual TLS that the calls have. Raises OSError, ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    context.load_verify_locations(client_ca)
    context.verify_mode = ssl.CERT_REQUIRED if require_mtls else ssl.CERT_OPTIONAL
    return context


def _address(writer: asyncio.StreamWriter) -> str:
    host, port = (writer.get_extra_info("peername") or ("?", 0))[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _auth(writer: asyncio.StreamWriter) -> dict[str, list[bytes]]:
    """Return the peer's certificate as gRPC's auth context would."""
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True)
    auth = {"ssl_tls_version": [(tls.version() or "").encode()]}
    if der:
        auth["x509_pem_cert"] = [ssl.DER_cert_to_PEM_cert(der).encode()]
    return auth


def _plain(status: int, text: str) -> Page:
    return Page(f"{text}\n".encode(), "text/plain; charset=utf-8", status)


def _response(page: Page, extra: str, *, keeps: bool, is_head: bool) -> bytes:
    head = (
        f"HTTP/1.1 {page.status} {_REASONS[page.status]}\r\n"
        f"Content-Type: {page.content_type}\r\n"
        f"Content-Length: {len(page.body)}\r\n"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "connect-src 'self'; frame-ancestors 'none'\r\n"
        f"Connection: {'keep-alive' if keeps else 'close'}\r\n{extra}\r\n"
    )
    return head.encode() + (b"" if is_head else page.body)
