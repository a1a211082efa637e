"""The way to an agent from a controller: one channel with our certificate and token, and errors that say what to do.

    async with open_channel(address, port, tls_name, authority_pem, identity) as agent:
        info = await agent.stub.Info(InfoRequest(), metadata=agent.metadata, timeout=5)

Imports little on purpose: a command over the whole fleet starts in the time that grpc.aio needs to load.
"""

import contextlib
import datetime as dt
import functools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import grpc.aio

from agent.errors import BY_STATUS, SAID_BY_AGENT, AgentError, AgentRefused, AgentUnreachable

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from agent.proto.agent_pb2_grpc import AgentStub

MESSAGE_LIMIT_BYTES = 64 * 1024 * 1024

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
    # A node that vanished without a word is noticed within half a minute, also while nothing is sent.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_retries", 0),
    # Never through a proxy that the environment names: these are our own nodes.
    ("grpc.enable_http_proxy", 0),
    # Nothing is looked up or shared between channels: a twentieth of what a command over thirty nodes costs.
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


class Identity(NamedTuple):
    """Who we are to the nodes: certificate, its key, and the principal's token."""

    certificate_pem: str
    key_pem: str
    token: str

    def __repr__(self) -> str:
        """Show neither key nor token."""
        return f"{type(self).__name__}(certificate_pem={self.certificate_pem!r})"


class _OnDemand:
    """A channel for a stub of generated code: what it makes for each method waits until the method is called."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def __getattr__(self, kind: str) -> Any:
        make = getattr(self._channel, kind)

        def method(*named: Any, **codec: Any) -> Any:
            def call(*said: Any, **options: Any) -> Any:
                return make(*named, **codec)(*said, **options)

            return call

        return method


class AgentChannel:
    """An open channel to one agent."""

    def __init__(self, channel: grpc.aio.Channel, identity: Identity, target: str) -> None:
        self.channel = channel
        self.target = target
        self.metadata: tuple[tuple[str, str], ...] = (("authorization", f"Bearer {identity.token}"),)
        self._health: Any = None

    def connect(self) -> None:
        """Begin to connect; the first call would do so, too."""
        self.channel.get_state(try_to_connect=True)

    @functools.cached_property
    def stub(self) -> "AgentStub":
        """The stub of gaxx.agent.v1, loaded when it is asked for."""
        from agent.proto.agent_pb2_grpc import AgentStub

        # One method is what most callers want, and there may be thousands of nodes.
        return AgentStub(_OnDemand(self.channel))

    @property
    def health(self) -> Any:
        """The stub of grpc.health.v1, loaded when it is asked for."""
        if self._health is None:
            from grpc_health.v1.health_pb2_grpc import HealthStub

            self._health = HealthStub(self.channel)
        return self._health

    async def is_serving(self, *, timeout_s: float = 5.0) -> bool:
        """Ask the agent's health. Raises grpc.aio.AioRpcError."""
        from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

        reply = await self.health.Check(HealthCheckRequest(), metadata=self.metadata, timeout=timeout_s)
        return bool(reply.status == HealthCheckResponse.SERVING)

    async def close(self) -> None:
        """Close the channel; calls that go on are cancelled."""
        await self.channel.close(None)


def credentials(authority_pem: str, identity: Identity) -> grpc.ChannelCredentials:
    """Return TLS credentials; make them once for many channels, they parse the certificates."""
    return grpc.ssl_channel_credentials(
        root_certificates=authority_pem.encode(),
        private_key=identity.key_pem.encode(),
        certificate_chain=identity.certificate_pem.encode(),
    )


def target_of(address: str, port: int) -> str:
    """Return gRPC's name for an agent's port.

    An address that says that it is one needs no DNS resolver, which costs more than the rest of making a channel.
    """
    if ":" in address:
        return f"ipv6:[{address}]:{port}"
    return f"ipv4:{address}:{port}" if address.replace(".", "").isdigit() else f"{address}:{port}"


def make_channel(target: str, tls_name: str, tls: grpc.ChannelCredentials, identity: Identity) -> AgentChannel:
    """Make a channel to `target` (of `target_of`, or unix:path); close it when done."""
    options = (*_OPTIONS, ("grpc.ssl_target_name_override", tls_name), ("grpc.default_authority", tls_name))
    return AgentChannel(grpc.aio.secure_channel(target, tls, options=options), identity, target)


@contextlib.asynccontextmanager
async def open_channel(
    address: str, port: int, tls_name: str, authority_pem: str, identity: Identity
) -> AsyncIterator[AgentChannel]:
    """Open a channel to the agent at `address`:`port`, whose certificate must be for `tls_name`.

    `address` may be `unix:PATH` (a forwarded socket, path of 107 bytes at most); then `port` is ignored.
    """
    target = address if address.startswith("unix:") else target_of(address, port)
    agent = make_channel(target, tls_name, credentials(authority_pem, identity), identity)
    try:
        yield agent
    finally:
        await agent.close()


def explain(fault: grpc.RpcError, *, node: str, identity: Identity, authority_pem: str) -> AgentError:
    """Turn a failed call into our error, with the words for a person.

    A refused handshake looks like a dying agent from here, so our own certificate is checked first.
    """
    status = fault.code()
    details = (fault.details() or "").strip()
    if status is grpc.StatusCode.UNAVAILABLE and not _is_said_by_agent(fault):
        own = own_certificate_fault(identity, authority_pem)
        if own:
            return AgentRefused(f"{node}: {own}")
        asked = f"`gaxx audit -n {node} --kind refused`"
        return AgentUnreachable(f"{node}: refused or down ({_short(details)}); {asked} says which")
    if status is grpc.StatusCode.DEADLINE_EXCEEDED:
        return AgentUnreachable(f"{node}: no answer in time")
    return BY_STATUS[status](f"{node}: {details or status.name.lower().replace('_', ' ')}")


def own_certificate_fault(identity: Identity, authority_pem: str) -> str:
    """Say what is wrong with our own certificate; empty when it is well."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        own = x509.load_pem_x509_certificate(identity.certificate_pem.encode())
        authority = x509.load_pem_x509_certificate(authority_pem.encode())
        key = load_pem_private_key(identity.key_pem.encode(), None)
    except ValueError:
        return "our certificate or key is not readable as PEM"
    if key.public_key() != own.public_key():
        return "our certificate belongs to another key than ours"
    return _dates_fault(own) or _issuer_fault(own, authority) or _role_fault(own)


def _dates_fault(own: "Certificate") -> str:
    now = dt.datetime.now(dt.UTC)
    if own.not_valid_after_utc < now:
        return f"our certificate expired at {own.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if own.not_valid_before_utc > now:
        return f"our certificate is valid only from {own.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; is this clock right?"
    return ""


def _issuer_fault(own: "Certificate", authority: "Certificate") -> str:
    from cryptography.exceptions import InvalidSignature

    try:
        own.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return "our certificate was signed by another authority than this stack's"
    return ""


def _role_fault(own: "Certificate") -> str:
    from cryptography import x509

    try:
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "our certificate names no principal"
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if not any(uri.startswith(("gaxx:operator:", "gaxx:observer:")) for uri in uris):
        return f"our certificate is for {', '.join(uris) or 'nobody'}; it must name an operator or observer"
    return ""


def _is_said_by_agent(fault: grpc.RpcError) -> bool:
    """Whether the agent itself answered (draining, runner down), not the way to it."""
    trailing: Any = fault.trailing_metadata() or ()
    return any(key == SAID_BY_AGENT[0] for key, _ in trailing)


def _short(details: str) -> str:
    return details.partition(";")[0][:120] or "no details"
