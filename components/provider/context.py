"""What a provider call gets besides its properties: the authority, the stack's name, the engine's log."""

import asyncio
import contextlib
import dataclasses
import typing
from collections.abc import Callable

import grpc.aio
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from components.authority import Authority
from components.errors import GaxxError

T = typing.TypeVar("T")


class EngineLog:
    """The engine's own log: what is sent here stands in the resource's line of `pulumi up`."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stub: engine_pb2_grpc.EngineStub | None = None

    async def send(self, urn: str, message: str, *, severity: "engine_pb2.LogSeverity.ValueType") -> None:
        """Log `message` at the resource; INFO is shown as its passing status only, WARNING and above stay."""
        if not self._address:
            return
        if self._stub is None:
            self._stub = engine_pb2_grpc.EngineStub(grpc.aio.insecure_channel(self._address))
        request = engine_pb2.LogRequest(
            severity=severity, message=message, urn=urn, streamId=0, ephemeral=severity == engine_pb2.INFO
        )
        # The log is for the eyes: an engine that is gone must not fail the work that it watched.
        with contextlib.suppress(grpc.aio.AioRpcError):
            # The stub's type is the blocking one; on an aio channel its calls are awaited.
            await self._stub.Log(request, timeout=5)  # type: ignore[misc]


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """One call of the engine about one resource."""

    urn: str
    log: EngineLog
    authority_text: str = dataclasses.field(repr=False)
    previous_text: str = dataclasses.field(default="", repr=False)
    """The authority that this one takes over from, for as long as the change goes on."""

    @property
    def stack(self) -> str:
        """The stack's name, from the URN (`urn:pulumi:<stack>::<project>::…`)."""
        return self.urn.split("::")[0].removeprefix("urn:pulumi:")

    @property
    def project(self) -> str:
        """The project's name, from the URN."""
        return self.urn.split("::")[1]

    @property
    def authority(self) -> Authority:
        """The stack's authority; raise GaxxError where the provider was configured without one."""
        if not self.authority_text:
            message = "the provider has no authority: gaxx:authorityKey is not set"
            raise GaxxError(message, hint=f"gaxx init --stack {self.stack}")
        return _authority(self.authority_text)

    @property
    def trusted(self) -> tuple[Authority, ...]:
        """Whom nodes and controllers are to trust: the authority, and the one that it takes over from."""
        return (self.authority, _authority(self.previous_text)) if self.previous_text else (self.authority,)

    @property
    def trusted_pem(self) -> str:
        """Their certificates."""
        return "".join(authority.certificate_pem for authority in self.trusted)

    @property
    def trusted_fingerprints(self) -> list[str]:
        """Their fingerprints."""
        return [authority.fingerprint for authority in self.trusted]

    def authority_of(self, fingerprint: str) -> Authority:
        """Whom something trusts that was made under `fingerprint`: the previous authority where it is that one's."""
        return next((one for one in self.trusted if one.fingerprint == fingerprint), self.authority)

    async def status(self, message: str) -> None:
        """Show what is being done, in the resource's line."""
        await self.log.send(self.urn, message, severity=engine_pb2.INFO)

    async def warn(self, message: str) -> None:
        """Leave a warning with the resource."""
        await self.log.send(self.urn, message, severity=engine_pb2.WARNING)

    async def debug(self, message: str) -> None:
        """Leave a line that only `pulumi up --debug` shows."""
        await self.log.send(self.urn, message, severity=engine_pb2.DEBUG)

    async def blocking(self, function: Callable[..., T], *args: object) -> T:
        """Run what blocks in a thread: one loop serves all calls of the engine."""
        return await asyncio.get_running_loop().run_in_executor(None, function, *args)


_cache: dict[str, Authority] = {}


def _authority(text: str) -> Authority:
    # Parsing checks the key against its certificate: once a process is enough.
    if text not in _cache:
        _cache[text] = Authority.from_pem(text)
    return _cache[text]
