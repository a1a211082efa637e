"""The HTTP service of a rehearsal: both vendors' faces on one port of 127.0.0.1, and the lives of instances."""

import asyncio
import contextlib
import dataclasses
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from components.errors import GaxxError
from tasks.rehearsal import catalogue, linode, vultr
from tasks.rehearsal.edge import CallLog, Edge
from tasks.rehearsal.faults import Faults
from tasks.rehearsal.limits import Limit, Meter
from tasks.rehearsal.machines import Machines
from tasks.rehearsal.store import FAST, REAL, Instance, Pace, Store

ADDRESS = "127.0.0.1"
_MIB = 1024 * 1024

LINODE_LIMIT = Limit(1600, 120)
"""Linode's documentation of its API: calls of one token in two minutes."""
LINODE_CREATES = Limit(10, 30)
"""What users report of creating instances."""
VULTR_LIMIT = Limit(30, 1)
"""Vultr's documentation of its API."""
VULTR_CREATES = Limit(30, 1)
_UNLIMITED = Limit(1_000_000, 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Speed:
    """How the rehearsed vendors keep time."""

    pace: Pace
    limited: bool
    """Whether their rate limits hold."""


SPEEDS = {"fast": Speed(FAST, limited=False), "real": Speed(REAL, limited=True)}


class Lives:
    """Boots and ends the local nodes behind instances, each in its own task."""

    def __init__(self, store: Store, machines: Machines, report: Callable[[str], None]) -> None:
        self._store = store
        self._machines = machines
        self._report = report
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, instance: Instance) -> None:
        """Give it an address and begin to boot it."""
        instance.address = self._machines.claim(instance)
        instance.held = True
        self._tasks[instance.id] = asyncio.create_task(self._boot(instance))

    def end(self, instance: Instance) -> None:
        """Begin to take it away."""
        before = self._tasks.get(instance.id)
        self._tasks[instance.id] = asyncio.create_task(self._end(instance, before))

    async def settled(self) -> None:
        """Wait until nothing is on its way."""
        while pending := [task for task in self._tasks.values() if not task.done()]:
            await asyncio.gather(*pending)

    async def _boot(self, instance: Instance) -> None:
        if instance.ready_at == float("inf"):
            return
        sizes = catalogue.LINODE_TYPES if instance.vendor == "linode" else catalogue.VULTR_PLANS
        pause_s = instance.ready_at - self._store.clock()
        await asyncio.sleep(max(0.0, pause_s))
        if instance.gone_at is not None:
            return
        if instance.mute:
            instance.up = True
            return
        try:
            booted = await asyncio.to_thread(self._machines.boot, instance, sizes[instance.type].memory_mib * _MIB)
        except GaxxError as error:
            self._report(f"{instance.vendor} {instance.id}: {error}")
            return
        if not booted:
            self._report(
                f"{instance.vendor} {instance.id}: no user-data that a local node could boot; it is only listed"
            )
        instance.up = True

    async def _end(self, instance: Instance, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await before
        try:
            await asyncio.to_thread(self._machines.remove, instance)
        except GaxxError as error:
            self._report(f"{instance.vendor} {instance.id}: {error}")
        instance.up = instance.held = False


@dataclasses.dataclass(slots=True)
class Rehearsal:
    """A running service."""

    port: int
    linode_token: str = dataclasses.field(repr=False)
    vultr_token: str = dataclasses.field(repr=False)
    machines: Machines
    store: Store
    lives: Lives
    calls: CallLog

    @property
    def url(self) -> str:
        """Where both vendors answer."""
        return f"http://{ADDRESS}:{self.port}"

    def environment(self) -> dict[str, str]:
        """What a process needs to take this for the vendors."""
        return {
            "LINODE_URL": self.url,
            "LINODE_TOKEN": self.linode_token,
            "LINODE_EVENT_POLL_MS": "200",
            "VULTR_API_KEY": self.vultr_token,
            "GAXX_VULTR_URL": self.url,
            "GAXX_REHEARSAL": str(self.machines.folder),
        }


@contextlib.asynccontextmanager
async def serving(
    *, port: int = 0, speed: Speed = SPEEDS["fast"], faults: Faults | None = None, report: Callable[[str], None]
) -> AsyncIterator[Rehearsal]:
    """Serve until left; then remove every machine. Raise GaxxError when the port is taken."""
    listener = _listener(port)
    machines = Machines()
    store = Store(time.time, speed.pace)
    lives = Lives(store, machines, report)
    calls = CallLog()
    rehearsal = Rehearsal(
        listener.getsockname()[1], secrets.token_hex(32), secrets.token_hex(18).upper(), machines, store, lives, calls
    )
    app = _app(rehearsal, speed, faults or Faults())
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False)
    server = uvicorn.Server(config)
    # Whoever started us decides what a signal means.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield rehearsal
    finally:
        server.should_exit = True
        await task
        await lives.settled()
        await asyncio.to_thread(machines.close)


def _app(rehearsal: Rehearsal, speed: Speed, faults: Faults) -> Starlette:
    def edge(token: str, limits: tuple[Limit, Limit], **words: object) -> Edge:
        limit, creates = limits if speed.limited else (_UNLIMITED, _UNLIMITED)
        return Edge(
            token=token,
            limit=Meter(limit),
            creates=Meter(creates),
            faults=faults,
            clock=rehearsal.store.clock,
            calls=rehearsal.calls,
            **words,  # type: ignore[arg-type]
        )

    linode_edge = edge(
        rehearsal.linode_token,
        (LINODE_LIMIT, LINODE_CREATES),
        words=linode.words,
        invalid_token="Invalid Token",  # noqa: S106 - a message
        too_many="Too many requests",
    )
    vultr_edge = edge(
        rehearsal.vultr_token,
        (VULTR_LIMIT, VULTR_CREATES),
        words=vultr.words,
        invalid_token="Invalid API token.",  # noqa: S106 - a message
        too_many="Rate limit reached - please try your request again later. Current rate limit: 30 requests/sec",
    )

    async def missing(request: Request, error: Exception) -> Response:
        del error
        status = 404 if request.url.path.startswith(("/v2", *linode.PREFIXES)) else 400
        rehearsal.calls.note(request, status)
        return JSONResponse({"errors": [{"reason": "Not found"}], "error": "Not found", "status": status}, status)

    return Starlette(
        routes=[
            *linode.Linode(rehearsal.store, linode_edge, rehearsal.lives).routes(),
            *vultr.Vultr(rehearsal.store, vultr_edge, rehearsal.lives).routes(),
        ],
        exception_handlers={404: missing, 405: missing},
    )


def _listener(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ADDRESS, port))
        # From now on whoever calls is kept waiting, not sent away.
        listener.listen()
    except OSError as error:
        listener.close()
        message = f"{ADDRESS}:{port}: {error.strerror}"
        raise GaxxError(message, hint="--port takes another") from error
    return listener
