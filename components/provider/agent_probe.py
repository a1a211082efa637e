"""Asks a node's agent how it is, over mutual TLS, as an observer of the authority's own making."""

import asyncio
import dataclasses

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.client import Identity, open_channel
from agent.proto import agent_pb2
from components.authority import Authority
from components.errors import NodeError
from components.ports import Port
from components.provider.wire import Properties

PROBE_PRINCIPAL = "enrolment"
"""An observer that every manifest names: it may ask, and do nothing else."""
PROBE_LIMIT_S = 10.0
_VALID_DAYS = 1


@dataclasses.dataclass(slots=True)
class _Cached:
    fingerprint: str = ""
    identity: Identity | None = None


_cached = _Cached()


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    """How a node serves, whichever way it was asked."""

    machine: str
    """Id of the machine that answers."""
    manifest_serial: int
    """Of the settings in force there."""
    runner_alive: bool
    ssh_host_keys: tuple[str, ...]


async def probe(authority: Authority, roots_pem: str, inputs: Properties) -> Health:
    """Ask the agent directly, as `authority`'s observer, and believe who is of `roots_pem`.

    Raise NodeError when it does not answer or does not prove itself.
    """
    import grpc.aio

    identity = _identity(authority)
    try:
        async with asyncio.timeout(PROBE_LIMIT_S):
            async with open_channel(
                inputs["address"], int(Port.AGENT), inputs["tlsName"], roots_pem, identity
            ) as channel:
                info: agent_pb2.NodeInfo = await channel.stub.Info(
                    agent_pb2.InfoRequest(), metadata=channel.metadata, timeout=PROBE_LIMIT_S
                )
                return Health(info.machine, info.manifest_serial, info.runner_alive, tuple(info.ssh_host_keys))
    except grpc.aio.AioRpcError as error:
        raise NodeError(inputs["node"], f"agent dead or refused: {error.details()}") from error
    except TimeoutError as error:
        raise NodeError(inputs["node"], f"the agent does not answer within {PROBE_LIMIT_S:.0f} s") from error


def _identity(authority: Authority) -> Identity:
    if _cached.identity is None or _cached.fingerprint != authority.fingerprint:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, PROBE_PRINCIPAL)])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
        certificate = authority.sign_client_csr(
            request.public_bytes(serialization.Encoding.PEM).decode(),
            name=PROBE_PRINCIPAL,
            role="observer",
            days=_VALID_DAYS,
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _cached.identity = Identity(certificate, pem.decode(), authority.token(PROBE_PRINCIPAL))
        _cached.fingerprint = authority.fingerprint
    return _cached.identity
