"""The whole agent: made from a configuration, started, reloaded, drained.

config ─► Agent(config) ─► start (runner, calls on 8088, pages on 9091) ─► reload* ─► drain
"""

import asyncio
import contextlib
import logging
import ssl
from typing import Any

import grpc
import grpc.aio
from cryptography import x509
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from agent import pages
from agent.access.guard import Guard
from agent.access.rules import Access
from agent.access.tokens import Tokens
from agent.audit.host_key import HostKeyNotes
from agent.audit.settings import Settings, SettingsNotes
from agent.audit.ssh import SshLog
from agent.audit.trail import Trail
from agent.config import AgentConfig
from agent.errors import AgentError, ConfigMissing
from agent.idleness import Idleness
from agent.listening import bracketed, reason, require_free, taken
from agent.logs import Memory
from agent.manifest import Manifest, ManifestError, read_manifest
from agent.metrics import Metrics
from agent.node import Node, declared_env
from agent.profile import ProfileServer
from agent.proto.agent_pb2 import DESCRIPTOR
from agent.proto.agent_pb2_grpc import add_AgentServicer_to_server
from agent.runner_client import RunnerConnection, RunnerUnavailable
from agent.service import AgentService
from agent.web import MetricsServer, tls_context
from agent.work.streams import make_handler

_log = logging.getLogger("gaxx.agent")

SERVICE = DESCRIPTOR.services_by_name["Agent"].full_name
MESSAGE_LIMIT_BYTES = 64 * 1024 * 1024
"""Of one gRPC message: a lease of items that are 1 MB each must fit."""

DRAIN_GRACE_S = 30.0
_STOP_GRACE_S = 2.0

_OPTIONS: list[tuple[str, Any]] = [
    # Without this a second agent would share the port instead of being told that it is taken.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
    # A client that vanished without a word is noticed within half a minute, and its processes end.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
]


class Agent:
    """One agent. `port` and `metrics_port` are the bound ones after `start`."""

    def __init__(self, config: AgentConfig, memory: Memory) -> None:
        """Read what the configuration names. Raises ConfigMissing."""
        self.config = config
        self.port = 0
        self.metrics_port = 0
        manifest, tokens = _read_identity(config)
        self._pem = _read_pem(config)
        self._next_pem: tuple[bytes, bytes, bytes] | None = None
        metrics = Metrics()
        audit = Trail(config.audit_folder)
        self.access = Access(manifest, tokens, require_mtls=config.require_mtls, count=metrics.refused, trail=audit)
        for folder in (config.work_dir, config.run_dir):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        runner = RunnerConnection(
            socket=config.runner_socket,
            run_dir=config.run_dir,
            work_dir=config.work_dir,
            slots=manifest.slots or config.slots,
            env=declared_env(manifest),
        )
        self.node = Node(config=config, manifest=manifest, runner=runner, memory=memory, metrics=metrics, audit=audit)
        self._ssh_log = SshLog(config.ssh_log, audit)
        self._host_key = HostKeyNotes(config.ssh_host_key, audit)
        self._settings_notes = SettingsNotes(audit)
        self._idleness = Idleness(self.node)
        metrics.watch(self.node)
        self._note_expiry()
        self._service = AgentService(self.node, make_handler(self.node))
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        self._pages = MetricsServer(pages.pages(self.node), self.access)
        self._profile = ProfileServer(config.run_dir)
        self._server: grpc.aio.Server | None = None
        self._health_task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the runner and listen. Raises AgentError when a port is taken or no runner answers."""
        try:
            await self._start()
        except BaseException:
            await self._stop(0)
            raise

    async def _start(self) -> None:
        try:
            await self.node.runner.start()
        except RunnerUnavailable as fault:
            raise AgentError(str(fault)) from fault
        config = self.config
        require_free(config.address, config.port)
        manifest = self.node.manifest
        await self.node.audit.open(node=manifest.node, machine=manifest.machine)
        # Known from here on: one that is not stopped complains when the process ends.
        server = self._server = grpc.aio.server(interceptors=(Guard(self.access),), options=_OPTIONS)
        add_AgentServicer_to_server(self._service, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(
            (SERVICE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name), server
        )
        try:
            self.port = server.add_secure_port(f"{bracketed(config.address)}:{config.port}", self._credentials())
        except RuntimeError as fault:
            raise AgentError(taken(config.address, config.port, "it cannot be bound")) from fault
        try:
            self.metrics_port = await self._pages.start(config.address, config.metrics_port, _tls_context(config))
        except ssl.SSLError as fault:
            message = f"certificate and key in {config.tls_cert} and {config.tls_key} do not fit: {fault.reason}"
            raise ConfigMissing(message) from fault
        except OSError as fault:
            raise AgentError(taken(config.address, config.metrics_port, reason(fault))) from fault
        await self._profile.start()
        await server.start()
        self._health_task = asyncio.create_task(self._keep_health())
        self.node.audit.note(
            "agent",
            event="start",
            node=manifest.node,
            machine=manifest.machine,
            serial=manifest.serial,
            build=config.build,
            certificate=f"{_certificate(self._pem).serial_number:x}",
        )
        self._settings_notes.started(self._settings(manifest))
        await self._ssh_log.start()
        await self._host_key.start()
        await self._idleness.start()
        _log.info(
            "agent serves",
            extra={"event": "started", "address": config.address, "port": self.port, "build": config.build},
        )

    async def reload(self) -> None:
        """Read manifest, tokens and certificates anew, dropping nothing. A bad file leaves the old in force."""
        try:
            manifest, tokens = _read_identity(self.config)
            pem = _read_pem(self.config)
            context = _tls_context(self.config)
        except (ConfigMissing, ssl.SSLError, OSError) as fault:
            _log.error("reload refused: %s", fault, extra={"event": "reload_failed"})
            self.node.audit.note("settings", event="reload_failed", why=str(fault))
            return
        if pem != self._pem:
            self._pem = self._next_pem = pem
            self._pages.use(context)
            self._note_expiry()
        self._settings_notes.reloaded(self._settings(manifest))
        self.node.manifest = manifest
        self.access.replace(manifest, tokens)
        self.node.runner.reload(declared_env(manifest))
        _log.info("settings reloaded", extra={"event": "reloaded", "manifest_serial": manifest.serial})

    async def drain(self, grace_s: float = DRAIN_GRACE_S) -> None:
        """Take no new work, let what runs end within `grace_s` seconds, then stop."""
        self.node.activity.draining = True
        self.node.audit.note("agent", event="drain")
        _log.info("draining", extra={"event": "draining", "why": self.node.activity.why_not_idle})
        await self._health.enter_graceful_shutdown()
        with contextlib.suppress(asyncio.TimeoutError):
            async with asyncio.timeout(grace_s):
                await self.node.activity.wait_quiet()
        await self._stop(_STOP_GRACE_S)

    async def stop_now(self) -> None:
        """Stop without waiting for anybody."""
        await self._stop(0)

    async def _stop(self, grace_s: float) -> None:
        if self._health_task is not None:
            self._health_task.cancel()
        if self._server is not None:
            await self._server.stop(grace_s)
        await self._pages.stop()
        await self._profile.stop()
        await self._idleness.stop()
        await self.node.runner.close()
        await self._ssh_log.stop()
        await self._host_key.stop()
        self.node.audit.note("agent", event="stop")
        await self.node.audit.close()
        _log.info("agent stopped", extra={"event": "stopped"})

    async def _keep_health(self) -> None:
        """Say SERVING while the runner answers."""
        while True:
            alive = self.node.runner.is_alive
            state = health_pb2.HealthCheckResponse.SERVING if alive else health_pb2.HealthCheckResponse.NOT_SERVING
            for service in ("", SERVICE):
                await self._health.set(service, state)
            await self.node.runner.wait_changed()

    def _credentials(self) -> grpc.ServerCredentials:
        def configuration(pem: tuple[bytes, bytes, bytes]) -> Any:
            key, cert, authority = pem
            return grpc.ssl_server_certificate_configuration([(key, cert)], root_certificates=authority)

        def renewed() -> Any:
            # Asked at every handshake, from a thread of gRPC's; None keeps the one in use.
            pem, self._next_pem = self._next_pem, None
            return configuration(pem) if pem is not None else None

        return grpc.dynamic_ssl_server_credentials(
            configuration(self._pem), renewed, require_client_authentication=self.config.require_mtls
        )

    def _note_expiry(self) -> None:
        expiry = _certificate(self._pem).not_valid_after_utc
        self.node.metrics.certificate_expiry.set(expiry.timestamp())

    def _settings(self, manifest: Manifest) -> Settings:
        return Settings.of(manifest, certificate=_certificate(self._pem).serial_number, authority=self._pem[2])

    def refused_in_handshake(self, why: str, before: int) -> None:
        """Note a peer that gRPC's core has turned away, and how many before it were not noted one by one."""
        more = {"unnoted_before": before} if before else {}
        self.node.audit.note("refused", reason="handshake", why=why, principal="", call="", peer="", **more)


def _read_identity(config: AgentConfig) -> tuple[Manifest, Tokens]:
    try:
        manifest = read_manifest(config.manifest) if config.manifest is not None else Manifest()
    except ManifestError as fault:
        message = f"GAXX_AGENT_MANIFEST: {fault}"
        raise ConfigMissing(message) from fault
    try:
        tokens = Tokens.read(config.token, config.token_file)
    except OSError as fault:
        message = f"GAXX_AGENT_TOKEN_FILE: {config.token_file}: {fault.strerror}"
        raise ConfigMissing(message) from fault
    except ValueError as fault:
        message = f"GAXX_AGENT_TOKEN{'_FILE' if config.token_file else ''}: {fault}"
        raise ConfigMissing(message) from fault
    return manifest, tokens


def _read_pem(config: AgentConfig) -> tuple[bytes, bytes, bytes]:
    """Return key, certificate and authority; checked here because gRPC would only fail in each handshake."""
    try:
        context = _tls_context(config)
    except ssl.SSLError as fault:
        message = f"{config.tls_cert}, {config.tls_key}, {config.client_ca}: no certificate, key and authority that fit"
        msg = f"{message} ({fault.reason or fault})"
        raise ConfigMissing(msg) from fault
    except OSError as fault:
        msg = f"TLS material cannot be read: {fault}"
        raise ConfigMissing(msg) from fault
    del context
    return config.tls_key.read_bytes(), config.tls_cert.read_bytes(), config.client_ca.read_bytes()


def _tls_context(config: AgentConfig) -> ssl.SSLContext:
    files = (str(config.tls_cert), str(config.tls_key), str(config.client_ca))
    return tls_context(*files, require_mtls=config.require_mtls)


def _certificate(pem: tuple[bytes, bytes, bytes]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem[1])
