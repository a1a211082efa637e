"""`python -m agent` as a process: what it needs, what it says, how it ends."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from agent.client import AgentChannel, Identity, open_channel
from agent.config import AgentConfig
from agent.errors import ConfigMissing, ConfigUnsafe
from agent.proto.agent_pb2 import InfoRequest
from tests.agent.pki import TLS_NAME, ThrowAwayAuthority
from tests.agent.rig import Outcome, Rig, execute, is_running, start_request, until

pytestmark = pytest.mark.engine


def environ_of(rig: Rig) -> dict[str, str]:
    """The environment that makes a process what the rig's own agent is."""
    config = rig.config
    return {
        "PATH": os.environ["PATH"],
        "GAXX_AGENT_TOKEN": config.token,
        "GAXX_AGENT_TLS_CERT": str(config.tls_cert),
        "GAXX_AGENT_TLS_KEY": str(config.tls_key),
        "GAXX_AGENT_CLIENT_CA": str(config.client_ca),
        "GAXX_AGENT_ADDRESS": config.address,
        "GAXX_AGENT_MANIFEST": str(config.manifest),
        "GAXX_AGENT_WORK_DIR": str(config.work_dir),
        "GAXX_AGENT_RUN_DIR": str(config.run_dir),
    }


class Process:
    """An agent process and its log."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "agent.log"
        self.popen: subprocess.Popen[bytes] | None = None

    def start(self, environ: dict[str, str]) -> None:
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen([sys.executable, "-m", "agent"], env=environ, stderr=log, stdout=log)

    @property
    def pid(self) -> int:
        return self.popen.pid if self.popen else 0

    def signal(self, number: int) -> None:
        assert self.popen is not None
        self.popen.send_signal(number)

    def ended(self) -> bool:
        assert self.popen is not None
        return self.popen.poll() is not None

    def says(self, text: str) -> bool:
        return text in self.log.read_text()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path)
    yield made
    if made.popen is not None:
        made.popen.kill()
        made.popen.wait()


@pytest.fixture
def idle_rig(tmp_path: Path) -> Rig:
    """A rig whose own agent is not started: its files are what counts."""
    return Rig(tmp_path / "node")


def run(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent"], env=environ, capture_output=True, text=True, timeout=30, check=False
    )


def test_without_anything_it_names_all_that_is_missing_in_one_line() -> None:
    ended = run({"PATH": os.environ["PATH"]})
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    for name in ("GAXX_AGENT_TLS_CERT", "GAXX_AGENT_TLS_KEY", "GAXX_AGENT_CLIENT_CA", "GAXX_AGENT_TOKEN"):
        assert name in ended.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"GAXX_AGENT_TLS_KEY": ""}, "GAXX_AGENT_TLS_KEY (path of its private key) is not set"),
        ({"GAXX_AGENT_TLS_CERT": "/no/such"}, "GAXX_AGENT_TLS_CERT: no such file /no/such"),
        ({"GAXX_AGENT_TOKEN": ""}, "neither GAXX_AGENT_TOKEN nor GAXX_AGENT_TOKEN_FILE is set"),
        ({"GAXX_AGENT_TOKEN_FILE": "/no/such"}, "GAXX_AGENT_TOKEN_FILE: no such file"),
        ({"GAXX_AGENT_PORT": "http"}, "GAXX_AGENT_PORT is 'http'; it must be a number from 0 to 65535"),
        ({"GAXX_AGENT_PORT": "65536"}, "GAXX_AGENT_PORT is '65536'"),
        ({"GAXX_AGENT_ADDRESS": "everywhere"}, "GAXX_AGENT_ADDRESS is 'everywhere'; it must be an IP address"),
        ({"GAXX_AGENT_REQUIRE_MTLS": "maybe"}, "GAXX_AGENT_REQUIRE_MTLS is 'maybe'; it must be true or false"),
    ],
)
def test_each_fault_of_the_configuration_is_named(idle_rig: Rig, change: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigMissing) as refused:
        AgentConfig.from_environ({**environ_of(idle_rig), **change})
    assert said in refused.value.message


def test_switching_mutual_tls_off_is_refused_beyond_loopback(idle_rig: Rig) -> None:
    environ = {**environ_of(idle_rig), "GAXX_AGENT_REQUIRE_MTLS": "false"}
    assert not AgentConfig.from_environ(environ).require_mtls
    for address in ("192.0.2.1", "0.0.0.0", "::"):  # noqa: S104 - that it is refused is the point
        with pytest.raises(ConfigUnsafe, match="allowed on a loopback address only"):
            AgentConfig.from_environ({**environ, "GAXX_AGENT_ADDRESS": address})
    ended = run({**environ, "GAXX_AGENT_ADDRESS": "192.0.2.1"})
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1


def test_the_token_is_in_no_repr_and_no_message(idle_rig: Rig) -> None:
    config = AgentConfig.from_environ(environ_of(idle_rig))
    assert config.token not in repr(config)
    bad = dataclasses.replace(idle_rig.config, tls_key=idle_rig.folder / "ca")
    ended = run({**environ_of(idle_rig), "GAXX_AGENT_TLS_KEY": str(bad.tls_key)})
    assert ended.returncode == 1
    assert "no certificate, key and authority that fit" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert config.token not in ended.stderr


def test_a_token_file_of_the_wrong_form_is_refused_without_showing_it(idle_rig: Rig) -> None:
    path = idle_rig.folder / "tokens"
    path.write_text("ada the-secret-itself\n")
    ended = run({**environ_of(idle_rig), "GAXX_AGENT_TOKEN_FILE": str(path)})
    assert ended.returncode == 1
    assert "sha256" in ended.stderr
    assert "the-secret-itself" not in ended.stderr


@pytest.mark.parametrize("text", ["{", '{"version": 2}', '{"version": 1, "serial": 1, "node": "x"}'])
def test_a_manifest_that_is_none_is_refused(idle_rig: Rig, text: str) -> None:
    (idle_rig.folder / "manifest.json").write_text(text)
    ended = run(environ_of(idle_rig))
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"gaxx agent: GAXX_AGENT_MANIFEST: {idle_rig.folder}/manifest.json: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("which", ["GAXX_AGENT_PORT", "GAXX_AGENT_METRICS_PORT"])
def test_a_taken_port_is_named_and_nothing_is_left_running(idle_rig: Rig, which: str) -> None:
    with socket.socket() as taken:
        taken.bind((idle_rig.address, 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run({**environ_of(idle_rig), which: str(port)})
    assert ended.returncode == 1
    assert [line for line in ended.stderr.splitlines() if not line.startswith("{")] == [
        f"gaxx agent: cannot listen on {idle_rig.address}:{port}: the port is taken by another process"
    ]
    assert not [path for path in Path("/proc").glob("[0-9]*/environ") if _names(path, str(idle_rig.config.run_dir))]


def test_an_agent_that_cannot_say_that_it_is_ready_ends_with_one_line(idle_rig: Rig) -> None:
    ended = run({**environ_of(idle_rig), "NOTIFY_SOCKET": "/no/such"})
    assert ended.returncode == 1
    assert [line for line in ended.stderr.splitlines() if not line.startswith("{")] == [
        "gaxx agent: NOTIFY_SOCKET: /no/such: No such file or directory"
    ]


async def test_sigterm_drains_and_exits_0_and_leaves_no_process(idle_rig: Rig, process: Process) -> None:
    process.start(environ_of(idle_rig))
    await until(lambda: process.says("agent serves"), "the agent to serve")
    async with _open(idle_rig) as channel:
        call = channel.stub.Exec(metadata=channel.metadata)
        await call.write(start_request([b"sh", b"-c", b"echo ready; sleep 0.7; echo finished"]))
        outcome = Outcome()
        outcome.add(await call.read())
        process.signal(signal.SIGTERM)
        while not outcome.finished:
            outcome.add(await call.read())
    assert outcome.stdout == b"ready\nfinished\n"
    await until(process.ended, "the agent to end")
    assert process.popen is not None
    assert process.popen.returncode == 0
    await until(lambda: not _of_rig(idle_rig), "the runner to end")
    said = [json.loads(line)["message"] for line in process.log.read_text().splitlines()]
    assert said[0] == "agent serves", "gRPC has nothing to say of the settings that it was given"


async def test_when_the_agent_is_killed_its_runner_and_items_end_but_detached_ones_go_on(
    idle_rig: Rig, process: Process
) -> None:
    process.start(environ_of(idle_rig))
    await until(lambda: process.says("agent serves"), "the agent to serve")
    pids = []
    async with _open(idle_rig) as channel:
        for detached in (False, True):
            call = channel.stub.Exec(metadata=channel.metadata)
            await call.write(start_request([b"sleep", b"60"], detached=detached))
            pids.append((await call.read()).started.pid)
        process.signal(signal.SIGKILL)
        await until(lambda: not is_running(pids[0]), "the attached item to end")
    assert is_running(pids[1])
    assert _of_rig(idle_rig), "the runner stays with the detached item"
    os.kill(pids[1], signal.SIGKILL)
    await until(lambda: not _of_rig(idle_rig), "the runner to end after it")


async def test_refused_handshakes_are_audit_lines_that_say_why(idle_rig: Rig, process: Process) -> None:
    process.start(environ_of(idle_rig))
    await until(lambda: process.says("agent serves"), "the agent to serve")
    expired = idle_rig.authority.client("ada", ends_in_days=-0.5)
    foreign = ThrowAwayAuthority().client("ada")
    for pair in (expired, foreign, idle_rig.pair):
        identity = Identity(pair.certificate_pem, pair.key_pem, "x")
        async with open_channel(idle_rig.address, 8088, TLS_NAME, idle_rig.authority.pem, identity) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.stub.Info(InfoRequest(), metadata=channel.metadata, timeout=10)
    for why in ("certificate has expired", "unable to get local issuer certificate", "unsupported certificate purpose"):
        await until(lambda why=why: process.says(f"refused in the handshake: {why}"), why)  # type: ignore[misc]
    lines = [json.loads(line) for line in process.log.read_text().splitlines()]
    assert {line["reason"] for line in lines if line["logger"] == "gaxx.audit"} == {"handshake"}


async def test_sighup_puts_a_new_manifest_in_force(idle_rig: Rig, process: Process) -> None:
    process.start(environ_of(idle_rig))
    await until(lambda: process.says("agent serves"), "the agent to serve")
    async with _open(idle_rig) as channel:
        idle_rig.manifest["serial"] = 2
        idle_rig.manifest["env"] = {"DECLARED": "anew", "MORE": "1"}
        idle_rig.write_manifest()
        process.signal(signal.SIGHUP)
        await until(lambda: process.says("settings reloaded"), "the reload")
        info = await channel.stub.Info(InfoRequest(), metadata=channel.metadata)
        assert info.manifest_serial == 2
        outcome = await execute(channel, b"printenv", b"DECLARED", b"MORE")
        assert outcome.stdout == b"anew\n1\n"


async def test_without_mutual_tls_it_warns_and_still_wants_the_token(idle_rig: Rig, process: Process) -> None:
    process.start({**environ_of(idle_rig), "GAXX_AGENT_REQUIRE_MTLS": "false"})
    await until(lambda: process.says("agent serves"), "the agent to serve")
    assert process.says("anyone on this machine who knows a token may execute")
    async with _open(idle_rig) as channel:
        assert (await execute(channel, b"echo", b"hi")).stdout == b"hi\n"


def test_a_process_that_hides_is_closed_to_its_own_user() -> None:
    # Not dumpable: its /proc/PID/environ, mem and fd belong to root. Root itself reads everything, so ask the kernel.
    script = (
        "import agent.hardening as h, ctypes; h.hide_from_same_user(); print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "0\n"


async def test_without_a_manifest_the_raw_token_is_good_for_each_certificate_of_the_authority(
    idle_rig: Rig, process: Process
) -> None:
    environ = environ_of(idle_rig)
    del environ["GAXX_AGENT_MANIFEST"]
    process.start(environ)
    await until(lambda: process.says("agent serves"), "the agent to serve")
    pair = idle_rig.authority.client("whoever")
    identity = Identity(pair.certificate_pem, pair.key_pem, idle_rig.config.token)
    authority: ThrowAwayAuthority = idle_rig.authority
    async with open_channel(idle_rig.address, 8088, TLS_NAME, authority.pem, identity) as channel:
        assert (await execute(channel, b"echo", b"hi")).stdout == b"hi\n"


def _open(rig: Rig) -> AbstractAsyncContextManager[AgentChannel]:
    return open_channel(rig.address, 8088, TLS_NAME, rig.authority.pem, rig.identities["ada"])


def _of_rig(rig: Rig) -> list[int]:
    """Runners of this rig that live."""
    pids = (
        int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if _names(path, str(rig.config.run_dir))
    )
    return [pid for pid in pids if is_running(pid)]


def _names(environ: Path, folder: str) -> bool:
    try:
        return f"GAXX_RUNNER_SOCKET={folder}".encode() in environ.read_bytes()
    except OSError:
        return False
