"""Who is refused and how: every wrong certificate, token, serial and role, each with its status and its audit line."""

import asyncio
import hashlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from agent import service
from agent.access.denied import Denied
from agent.access.rules import Access
from agent.access.tokens import Tokens
from agent.audit.trail import Trail
from agent.client import AgentChannel, Identity, explain, open_channel
from agent.errors import AgentRefused, AgentUnreachable
from agent.manifest import Manifest
from agent.proto.agent_pb2 import InfoRequest, LogsRequest
from tests.agent.pki import TLS_NAME, ThrowAwayAuthority
from tests.agent.rig import Outcome, Rig, execute, start_request, until

pytestmark = pytest.mark.engine

Change = Callable[[Rig], Identity]


async def _info(rig: Rig, identity: Identity) -> None:
    async with rig.open(identity) as channel:
        await channel.stub.Info(InfoRequest(), metadata=channel.metadata, timeout=10)


async def _refused(rig: Rig, identity: Identity) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _info(rig, identity)
    return refused.value


def _certificate(rig: Rig, name: str, role: str = "operator", **more: float) -> Identity:
    """A new certificate of the right authority, with ada's token."""
    pair = rig.authority.client(name, role, **more)
    return Identity(pair.certificate_pem, pair.key_pem, rig.identities["ada"].token)


async def test_an_operator_with_certificate_and_token_is_answered(channel: AgentChannel) -> None:
    info = await channel.stub.Info(InfoRequest(), metadata=channel.metadata)
    assert (info.node, list(info.groups), info.runner_alive) == ("demo-1", ["gpu"], True)


async def test_no_client_certificate_does_not_get_past_the_handshake(rig: Rig) -> None:
    tls = grpc.ssl_channel_credentials(root_certificates=rig.authority.pem.encode())
    options = (("grpc.ssl_target_name_override", TLS_NAME),)
    async with grpc.aio.secure_channel(f"{rig.address}:{rig.agent.port}", tls, options=options) as bare:
        channel = AgentChannel(bare, rig.identities["ada"], "bare")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.stub.Info(InfoRequest(), metadata=channel.metadata, timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_plain_text_is_not_answered(rig: Rig) -> None:
    async with grpc.aio.insecure_channel(f"{rig.address}:{rig.agent.port}") as bare:
        channel = AgentChannel(bare, rig.identities["ada"], "plain")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.stub.Info(InfoRequest(), metadata=channel.metadata, timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def _of_another_authority(rig: Rig) -> Identity:
    pair = ThrowAwayAuthority().client("ada")
    return Identity(pair.certificate_pem, pair.key_pem, rig.identities["ada"].token)


def _expired(rig: Rig) -> Identity:
    return _certificate(rig, "ada", ends_in_days=-0.5)


def _of_a_node(rig: Rig) -> Identity:
    return Identity(rig.pair.certificate_pem, rig.pair.key_pem, rig.identities["ada"].token)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_of_another_authority, "signed by another authority"),
        (_expired, "expired at"),
        (_of_a_node, "must name an operator or observer"),
    ],
    ids=["other authority", "expired", "a node's own"],
)
async def test_a_wrong_certificate_is_refused_in_the_handshake_and_the_client_says_what_is_wrong_with_it(
    rig: Rig, make: Change, said: str
) -> None:
    identity = make(rig)
    fault = await _refused(rig, identity)
    assert fault.code() is grpc.StatusCode.UNAVAILABLE
    error = explain(fault, node="demo-1", identity=identity, authority_pem=rig.authority.pem)
    assert isinstance(error, AgentRefused)
    assert said in error.message
    assert error.exit_code == 2


async def test_with_a_good_certificate_a_dead_agent_is_refused_or_down(rig: Rig) -> None:
    await rig.agent.stop_now()
    identity = rig.identities["ada"]
    fault = await _refused(rig, identity)
    error = explain(fault, node="demo-1", identity=identity, authority_pem=rig.authority.pem)
    assert isinstance(error, AgentUnreachable)
    assert error.message.startswith("demo-1: refused or down")
    assert error.exit_code == 5


async def test_the_wrong_host_name_is_refused_by_the_client(rig: Rig) -> None:
    ada = rig.identities["ada"]
    async with open_channel(rig.address, rig.agent.port, "demo-2.demo.gaxx", rig.authority.pem, ada) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.stub.Info(InfoRequest(), metadata=channel.metadata, timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def _no_token(rig: Rig) -> Identity:
    return rig.identities["ada"]._replace(token="")


def _wrong_token(rig: Rig) -> Identity:
    return rig.identities["ada"]._replace(token="x" * 43)


def _token_of_another(rig: Rig) -> Identity:
    return rig.identities["ada"]._replace(token=rig.identities["oscar"].token)


def _token_of_the_environment(rig: Rig) -> Identity:
    return rig.identities["ada"]._replace(token=rig.config.token)


def _unknown(rig: Rig) -> Identity:
    return _certificate(rig, "eve")


def _renewed_behind_our_back(rig: Rig) -> Identity:
    return _certificate(rig, "ada")


def _promoted(rig: Rig) -> Identity:
    pair = rig.authority.client("oscar", "operator")
    return Identity(pair.certificate_pem, pair.key_pem, rig.identities["oscar"].token)


def _node_role(rig: Rig) -> Identity:
    return _certificate(rig, "demo-2", "node")


def _strange_role(rig: Rig) -> Identity:
    return _certificate(rig, "ada", "root")


@pytest.mark.parametrize(
    ("make", "status", "reason"),
    [
        (_no_token, grpc.StatusCode.UNAUTHENTICATED, "no_token"),
        (_wrong_token, grpc.StatusCode.UNAUTHENTICATED, "wrong_token"),
        (_token_of_another, grpc.StatusCode.UNAUTHENTICATED, "wrong_token"),
        (_token_of_the_environment, grpc.StatusCode.UNAUTHENTICATED, "wrong_token"),
        (_unknown, grpc.StatusCode.PERMISSION_DENIED, "unknown_principal"),
        (_renewed_behind_our_back, grpc.StatusCode.PERMISSION_DENIED, "wrong_serial"),
        (_promoted, grpc.StatusCode.PERMISSION_DENIED, "role_mismatch"),
        (_node_role, grpc.StatusCode.PERMISSION_DENIED, "role"),
        (_strange_role, grpc.StatusCode.PERMISSION_DENIED, "bad_certificate"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_each_refusal_has_its_status_an_audit_line_and_a_count(
    rig: Rig, make: Change, status: grpc.StatusCode, reason: str
) -> None:
    identity = make(rig)
    fault = await _refused(rig, identity)
    assert fault.code() is status
    assert explain(fault, node="n", identity=identity, authority_pem=rig.authority.pem).exit_code == 2
    (line,) = rig.audit()
    assert (line["event"], line["reason"], line["method"]) == ("refused", reason, "/gaxx.agent.v1.Agent/Info")
    assert line["peer"]
    assert f'gaxx_agent_refusals_total{{reason="{reason}"}} 1.0' in rig.agent.node.metrics.text().decode()
    assert identity.token not in str(line) or not identity.token


async def test_an_observer_reads_health_info_and_logs_and_executes_nothing(rig: Rig) -> None:
    async with rig.open(rig.identities["oscar"]) as channel:
        assert await channel.is_serving()
        await channel.stub.Info(InfoRequest(), metadata=channel.metadata)
        lines = [line async for line in channel.stub.Logs(LogsRequest(source="agent"), metadata=channel.metadata)]
        assert any(b"agent serves" in line.line for line in lines)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await execute(channel, b"true")
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert refused.value.details() == "oscar has role observer, which may not call Exec"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await _services(channel)
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_an_operator_may_ask_by_reflection_what_there_is(channel: AgentChannel) -> None:
    assert "gaxx.agent.v1.Agent" in await _services(channel)


async def test_health_too_wants_the_token(rig: Rig) -> None:
    async with rig.open() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.health.Check(HealthCheckRequest(), timeout=10)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_serial_denied_on_a_live_node_ends_what_goes_on(rig: Rig) -> None:
    async with rig.open() as channel:
        call = channel.stub.Exec(metadata=channel.metadata)
        await call.write(start_request([b"sh", b"-c", b"echo ready; exec sleep 60"]))
        outcome = Outcome()
        while b"ready" not in outcome.stdout:
            outcome.add(await call.read())

        async def read_to_end() -> None:
            while True:
                outcome.add(await call.read())

        rig.manifest["deniedSerials"] = [f"{rig.pairs['ada'].serial:x}"]
        await rig.reload()
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await read_to_end()
        assert ended.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "is denied" in (ended.value.details() or "")
        await until(lambda: rig.agent.node.runner.running == 0, "the command of the denied operator to end")
        fault = await _refused(rig, rig.identities["ada"])
        assert fault.code() is grpc.StatusCode.PERMISSION_DENIED
    assert [line["reason"] for line in rig.audit()] == ["denied_serial", "denied_serial"]
    async with rig.open(rig.admit("bea", "operator")) as channel:
        await rig.reload()
        assert (await execute(channel, b"echo", b"hi")).stdout == b"hi\n"


async def test_a_serial_denied_while_the_first_answer_is_on_its_way_ends_the_call_with_the_reason(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = service._exec_event
    denials: list[asyncio.Task[None]] = []

    def on_its_way(event: Any) -> Any:
        # Runs when the handler next waits, which is for gRPC to have written what is returned here.
        denials.append(asyncio.get_running_loop().create_task(rig.reload()))
        return write(event)

    rig.manifest["deniedSerials"] = [f"{rig.pairs['ada'].serial:x}"]
    monkeypatch.setattr(service, "_exec_event", on_its_way)
    async with rig.open() as channel:
        call = channel.stub.Exec(metadata=channel.metadata)
        await call.write(start_request([b"sleep", b"60"], has_stdin=True))
        assert (await asyncio.wait_for(call.read(), 20)).started.pid > 0
        assert await asyncio.wait_for(call.code(), 20) is grpc.StatusCode.PERMISSION_DENIED
        assert "is denied" in await call.details()
    await until(lambda: rig.agent.node.runner.running == 0, "the command of the denied operator to end")
    await asyncio.gather(*denials)


async def test_a_rotated_token_is_good_at_once_and_the_old_one_no_longer(rig: Rig) -> None:
    old = rig.identities["ada"]
    rig.manifest["principals"][0]["tokenSha256"] = hashlib.sha256(b"new").hexdigest()
    await rig.reload()
    await _info(rig, old._replace(token="new"))
    assert (await _refused(rig, old)).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_while_rotating_both_tokens_are_good(rig: Rig) -> None:
    entry = rig.manifest["principals"][0]
    entry["tokenSha256"] = f"{entry['tokenSha256']} {hashlib.sha256(b'new').hexdigest()}"
    await rig.reload()
    await _info(rig, rig.identities["ada"])
    await _info(rig, rig.identities["ada"]._replace(token="new"))


async def test_a_broken_manifest_leaves_the_old_one_in_force(rig: Rig) -> None:
    (rig.folder / "manifest.json").write_text("{")
    await rig.agent.reload()
    await _info(rig, rig.identities["ada"])
    assert any("reload refused" in line for line in rig.memory.lines("agent"))


async def test_a_renewed_node_certificate_is_served_without_a_restart(rig: Rig) -> None:
    renewed = rig.authority.node(rig.address)
    (rig.folder / "cert").write_text(renewed.certificate_pem)
    (rig.folder / "key").write_text(renewed.key_pem)
    await rig.agent.reload()
    await _info(rig, rig.identities["ada"])
    for port in (rig.agent.port, rig.agent.metrics_port):
        served = await asyncio.to_thread(_served_certificate, rig, port)
        assert served == ssl.PEM_cert_to_DER_cert(renewed.certificate_pem)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_tls_below_1_2_is_refused_on_both_ports(rig: Rig, version: ssl.TLSVersion) -> None:
    for port in (rig.agent.port, rig.agent.metrics_port):
        context = _client_context(rig)
        # Without this OpenSSL itself would not even offer the old versions.
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = version
        context.maximum_version = version
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(rig.address, port, ssl=context, server_hostname=TLS_NAME)


async def test_tls_1_3_is_what_is_used(rig: Rig) -> None:
    context = _client_context(rig)
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection(rig.address, rig.agent.port, ssl=context, server_hostname=TLS_NAME)
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
    writer.transport.abort()


def test_an_old_tls_version_is_refused_where_the_handshake_let_it_pass(tmp_path: Path) -> None:
    access = Access(Manifest(), Tokens("t"), require_mtls=True, count=lambda _: None, trail=Trail(tmp_path))
    with pytest.raises(Denied) as refused:
        access.decide("/x", {"ssl_tls_version": [b"TLSv1.1"]}, "Bearer t")
    assert refused.value.reason == "old_tls"


def test_a_raw_token_is_for_all_and_lines_are_for_one_each() -> None:
    assert Tokens("secret\n").for_all == (hashlib.sha256(b"secret").hexdigest(),)
    digest = hashlib.sha256(b"x").hexdigest()
    tokens = Tokens(f"# operators\nada sha256:{digest}\nbea  sha256:{digest.upper()}\n")
    assert tokens.by_name == {"ada": (digest,), "bea": (digest,)}
    assert tokens.for_all == ()
    with pytest.raises(ValueError, match="the token of 'ada' is not written as sha256"):
        Tokens("ada secret-in-the-clear")


async def _services(channel: AgentChannel) -> str:
    stub = ServerReflectionStub(channel.channel)
    call = stub.ServerReflectionInfo(iter([ServerReflectionRequest(list_services="")]), metadata=channel.metadata)
    return str([reply async for reply in call])


def _client_context(rig: Rig) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=rig.authority.pem)
    (rig.folder / "ada.pem").write_text(rig.pairs["ada"].certificate_pem + rig.pairs["ada"].key_pem)
    context.load_cert_chain(rig.folder / "ada.pem")
    return context


def _served_certificate(rig: Rig, port: int) -> bytes:
    context = _client_context(rig)
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((rig.address, port), 10) as plain,
        context.wrap_socket(plain, server_hostname=TLS_NAME) as tls,
    ):
        return tls.getpeercert(binary_form=True) or b""


async def test_a_certificate_that_ends_during_a_connection_is_refused_at_the_next_call(rig: Rig) -> None:
    pair = rig.authority.client("ada", ends_in_days=2 / 86400)
    rig.manifest["principals"][0]["certificateSerial"] = ""
    await rig.reload()
    identity = Identity(pair.certificate_pem, pair.key_pem, rig.identities["ada"].token)

    async def call_until_refused(channel: AgentChannel) -> None:
        async with asyncio.timeout(10):
            while True:
                await channel.stub.Info(InfoRequest(), metadata=channel.metadata)
                await asyncio.sleep(0.1)

    async with rig.open(identity) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call_until_refused(channel)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert rig.audit()[-1]["reason"] == "expired_certificate"
