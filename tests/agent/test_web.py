"""The metrics port: who gets what, and that nobody's silence stalls anybody."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from agent import web
from tests.agent.pki import TLS_NAME, ThrowAwayAuthority
from tests.agent.rig import Rig, execute, until

pytestmark = pytest.mark.engine


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str


def context(rig: Rig, name: str | None = "oscar") -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(cadata=rig.authority.pem)
    if name is not None:
        pair = rig.pairs[name]
        path = rig.folder / f"{name}.pem"
        path.write_text(pair.certificate_pem + pair.key_pem)
        made.load_cert_chain(path)
    return made


@contextlib.asynccontextmanager
async def connection(
    rig: Rig, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(
        rig.address, rig.agent.metrics_port, ssl=tls or context(rig), server_hostname=TLS_NAME
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def ask(
    rig: Rig, path: str = "/metrics", *, token: str | None = None, method: str = "GET", name: str = "oscar"
) -> Answer:
    token = rig.identities[name].token if token is None else token
    async with connection(rig, context(rig, name)) as (reader, writer):
        header = f"Authorization: Bearer {token}\r\n" if token else ""
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n".encode())
        return parse(await asyncio.wait_for(reader.read(), 10))


def parse(data: bytes) -> Answer:
    head, _, body = data.decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), headers, body)


@pytest.mark.parametrize("name", ["ada", "oscar"])
async def test_operators_and_observers_read_metrics(rig: Rig, name: str) -> None:
    answer = await ask(rig, name=name)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    for series in ("gaxx_agent_runner_up 1.0", "gaxx_agent_slots 2.0", 'gaxx_agent_refusals_total{reason="role"} 0.0'):
        assert series in answer.body


async def test_what_was_executed_is_counted(rig: Rig) -> None:
    async with rig.open() as channel:
        await execute(channel, b"true")
        await execute(channel, b"no-such-program")
    body = (await ask(rig)).body
    assert 'gaxx_agent_execs_total{ending="exited"} 1.0' in body
    assert 'gaxx_agent_execs_total{ending="spawn_failed"} 1.0' in body


async def test_the_dashboard_is_one_page_that_loads_nothing(rig: Rig) -> None:
    answer = await ask(rig, "/")
    assert answer.status == 200
    assert "<h1>demo-1</h1>" in answer.body
    assert "src=" not in answer.body
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_health_says_draining(rig: Rig) -> None:
    assert (await ask(rig, "/healthz")).body == "ok\n"
    rig.agent.node.activity.draining = True
    answer = await ask(rig, "/healthz")
    assert (answer.status, answer.body) == (503, "draining\n")


async def test_no_token_and_a_wrong_one_are_401_and_audited(rig: Rig) -> None:
    answer = await ask(rig, token="")
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="gaxx"')
    assert (await ask(rig, token="wrong")).status == 401
    assert [line["reason"] for line in rig.audit()] == ["no_token", "wrong_token"]


async def test_a_denied_certificate_is_403(rig: Rig) -> None:
    rig.manifest["deniedSerials"] = [f"{rig.pairs['oscar'].serial:x}"]
    await rig.reload()
    assert (await ask(rig)).status == 403


async def test_no_certificate_or_a_foreign_one_gets_no_answer(rig: Rig) -> None:
    foreign = ThrowAwayAuthority().client("oscar")
    rig.pairs["foreign"] = foreign
    for tls in (context(rig, None), context(rig, "foreign")):
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await _speak(rig, tls)
    await until(lambda: len(rig.audit()) == 2, "both to be recorded")
    assert {line["reason"] for line in rig.audit()} == {"handshake"}
    assert all(line["peer"].startswith("127.") for line in rig.audit())


async def test_unknown_paths_methods_and_gibberish_are_told_so(rig: Rig) -> None:
    assert (await ask(rig, "/nothing")).status == 404
    assert (await ask(rig, method="POST")).status == 405
    head = await ask(rig, method="HEAD")
    assert (head.status, head.body) == (200, "")
    async with connection(rig) as (reader, writer):
        writer.write(b"gibberish\r\n\r\n")
        assert parse(await reader.read()).status == 400


async def test_a_connection_serves_several_requests(rig: Rig) -> None:
    async with connection(rig) as (reader, writer):
        for _ in range(3):
            token = rig.identities["oscar"].token
            writer.write(f"GET /healthz HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK")
            assert await reader.readexactly(3) == b"ok\n"


async def test_silent_peers_stall_nobody_and_are_dropped(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "REQUEST_S", 0.5)
    # Twenty that never shake hands, twenty that then say nothing.
    silent = [await asyncio.open_connection(rig.address, rig.agent.metrics_port) for _ in range(20)]
    mute = [
        await asyncio.open_connection(rig.address, rig.agent.metrics_port, ssl=context(rig), server_hostname=TLS_NAME)
        for _ in range(20)
    ]
    began = time.monotonic()
    assert (await ask(rig)).status == 200
    assert time.monotonic() - began < 3
    for reader, _ in mute:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            assert await asyncio.wait_for(reader.read(), 10) == b""
    for reader, _ in silent:
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), web.HANDSHAKE_S + 10) == b""
    for _, writer in (*silent, *mute):
        writer.transport.abort()


async def test_a_header_without_end_is_cut_off(rig: Rig) -> None:
    async with connection(rig) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_more_connections_than_the_bound_are_closed_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine opening them all takes longer than each may be silent.
    monkeypatch.setattr(web, "REQUEST_S", 60.0)
    tls = context(rig)
    held = [
        await asyncio.open_connection(rig.address, rig.agent.metrics_port, ssl=tls, server_hostname=TLS_NAME)
        for _ in range(web.MAX_CONNECTIONS)
    ]
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await _speak(rig, tls)
    for _, writer in held:
        writer.transport.abort()


async def _speak(rig: Rig, tls: ssl.SSLContext) -> None:
    async with connection(rig, tls) as (reader, writer):
        token = rig.identities["oscar"].token
        writer.write(f"GET / HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
