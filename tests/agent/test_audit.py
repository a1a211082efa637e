"""What the agent writes into its audit trail, and who may read it there."""

import asyncio
import contextlib
import hashlib
import json
import logging
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from agent.audit.host_key import HostKeyNotes
from agent.audit.limit import Limit
from agent.audit.ssh import Sessions, SshLog, _read
from agent.client import AgentChannel
from agent.errors import AgentError
from agent.proto import agent_pb2 as pb
from agent.server import Agent
from tasks.audit.chain import Chain, Head, Line, parse
from tests.agent.pki import ThrowAwayAuthority
from tests.agent.rig import Rig, execute, until

SECRET = b"hunter2-of-the-user"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """An agent that takes leased items and follows an sshd's log."""
    (tmp_path / "sshd.log").touch()
    made = Rig(tmp_path / "node", ssh_log=str(tmp_path / "sshd.log"))
    logging.getLogger().addHandler(made.memory)
    try:
        await made.agent.start()
        yield made
    finally:
        await made.agent.stop_now()
        logging.getLogger().removeHandler(made.memory)


async def fetch(channel: AgentChannel, first: int = 1) -> tuple[list[dict[str, Any]], pb.AuditReply.Head]:
    """Ask for the trail; it must be whole."""
    chain = Chain()
    records, head = [], pb.AuditReply.Head()
    async for reply in channel.stub.Audit(pb.AuditRequest(from_sequence=first), metadata=channel.metadata):
        if reply.WhichOneof("reply") == "head":
            head = reply.head
            continue
        for offset, raw in enumerate(reply.lines.data.splitlines()):
            chain.take(Line.read(reply.lines.file, reply.lines.line + offset, raw))
            records.append(parse(raw))
    assert chain.end(Head(head.sequence, head.sha256)) is None
    return records, head


def only(records: list[dict[str, Any]], **wanted: object) -> list[dict[str, Any]]:
    """The lines that have these values, without what every line has."""
    found = [line for line in records if all(line.get(name) == value for name, value in wanted.items())]
    return [{name: value for name, value in line.items() if name not in ("seq", "time", "prev")} for line in found]


async def test_a_connection_is_one_line_however_many_calls_come_over_it(rig: Rig, channel: AgentChannel) -> None:
    for _ in range(3):
        await channel.stub.Info(pb.InfoRequest(), metadata=channel.metadata)
    records, _ = await fetch(channel)
    (line,) = only(records, kind="connection")
    assert (line["principal"], line["role"], line["port"]) == ("ada", "operator", "agent")
    assert line["certificate"] == f"{rig.pairs['ada'].serial:x}"
    assert line["peer"].startswith("127.0.0.1:")


async def test_a_refused_call_says_why(rig: Rig, channel: AgentChannel) -> None:
    async with rig.open(rig.identities["oscar"]) as observer:
        with pytest.raises(grpc.aio.AioRpcError):
            await execute(observer, b"true")
    records, _ = await fetch(channel)
    (line,) = only(records, kind="refused")
    assert (line["reason"], line["principal"], line["call"]) == ("role", "oscar", "Exec")
    assert "may not call Exec" in line["why"]


async def test_a_command_is_named_by_its_program_and_the_digest_of_its_words(channel: AgentChannel) -> None:
    argv = [b"sh", b"-c", b"echo $0 heard; exit 3", SECRET]
    await execute(channel, *argv, stdin=b"what it is told")
    records, _ = await fetch(channel)
    start, end = only(records, kind="command")
    digest = hashlib.sha256(b"".join(word + b"\0" for word in argv)).hexdigest()
    assert (start["event"], start["principal"], start["program"]) == ("start", "ada", "sh")
    assert (start["words"], start["argv_sha256"]) == (4, digest)
    assert (end["event"], end["program"], end["ending"], end["exit_code"]) == ("end", "sh", "exited", 3)


async def test_neither_words_nor_output_nor_tokens_are_in_the_trail(rig: Rig, channel: AgentChannel) -> None:
    await execute(channel, b"sh", b"-c", b"cat; echo $0 heard", SECRET, stdin=b"what it is told", env={"A": SECRET})
    async with rig.open() as other:
        await run_items(other, [b"sh", b"-c", b"echo $0 heard", SECRET], value=SECRET)
    await fetch(channel)
    text = b"".join(path.read_bytes() for path in rig.config.audit_folder.glob("*.jsonl"))
    assert b'"kind":"item"' in text
    for secret in (SECRET, b"heard", b"what it is told", rig.identities["ada"].token.encode(), b"PRIVATE KEY"):
        assert secret not in text


async def run_items(channel: AgentChannel, *commands: list[bytes], value: bytes = b"v") -> None:
    """Lease items, wait for their results, end the run."""
    call = channel.stub.Work(metadata=channel.metadata)
    await call.write(pb.WorkRequest(hello=pb.WorkRequest.Hello(run_id="run-1", lease_s=30)))
    items = [pb.Item(index=index, attempt=1, lease=1, argv=argv, value=value) for index, argv in enumerate(commands)]
    await call.write(pb.WorkRequest(lease=pb.WorkRequest.Lease(items=items)))
    results = 0
    while results < len(commands):
        event = await call.read()
        results += len(event.results.results)
    await call.write(pb.WorkRequest(bye=pb.WorkRequest.Bye()))
    await call.done_writing()
    while await call.read() is not grpc.aio.EOF:  # type: ignore[attr-defined]
        pass


async def test_every_item_has_a_line_when_it_starts_and_one_when_it_ends(channel: AgentChannel) -> None:
    await run_items(channel, [b"true"], [b"sh", b"-c", b"exit 4"], [b"/no/such"])
    records, _ = await fetch(channel)
    starts, ends = only(records, kind="item", event="start"), only(records, kind="item", event="end")
    assert [(line["index"], line["program"], line["words"]) for line in starts] == [
        (0, "true", 1), (1, "sh", 3), (2, "/no/such", 1),
    ]  # fmt: skip
    assert {line["run"] for line in starts + ends} == {"run-1"}
    assert {line["principal"] for line in starts + ends} == {"ada"}
    assert sorted((line["index"], line["ending"], line["exit_code"]) for line in ends) == [
        (0, "exited", 0), (1, "exited", 4), (2, "spawn_failed", 0),
    ]  # fmt: skip
    assert [line["event"] for line in only(records, kind="run")] == ["attach", "end"]


async def put(channel: AgentChannel, path: str, data: bytes, digest: str = "") -> None:
    async def requests() -> AsyncIterator[pb.PutRequest]:
        sha256 = digest or hashlib.sha256(data).hexdigest()
        yield pb.PutRequest(begin=pb.PutRequest.Begin(path=path, size_bytes=len(data), sha256=sha256, mode=0o600))
        yield pb.PutRequest(data=data)
        yield pb.PutRequest(end=True)

    async for _ in channel.stub.Put(requests(), metadata=channel.metadata):
        pass


async def test_files_have_their_names_and_digests_in_the_trail(channel: AgentChannel) -> None:
    await put(channel, "in/a.txt", SECRET)
    with pytest.raises(grpc.aio.AioRpcError):
        await put(channel, "../up.txt", SECRET)
    async for _ in channel.stub.Get(pb.GetRequest(globs=["in/*"]), metadata=channel.metadata):
        pass
    records, _ = await fetch(channel)
    whole, failed, got = only(records, kind="file")
    digest = hashlib.sha256(SECRET).hexdigest()
    assert (whole["event"], whole["path"], whole["sha256"], whole["bytes"]) == ("put", "in/a.txt", digest, len(SECRET))
    assert failed["fault"]
    assert (got["event"], got["path"], got["sha256"]) == ("get", "in/a.txt", digest)


async def test_nobody_puts_a_file_into_the_trail(rig: Rig, channel: AgentChannel) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await put(channel, str(rig.config.audit_folder / "000000000001.jsonl"), b"forged")


async def test_a_reload_says_who_was_let_in_and_locked_out_and_which_certificate_is_new(
    rig: Rig, channel: AgentChannel
) -> None:
    rig.admit("eve", "operator")
    rig.manifest["principals"] = [who for who in rig.manifest["principals"] if who["name"] != "oscar"]
    rig.manifest["deniedSerials"] = ["abc"]
    rig.manifest["serial"] = 2
    renewed = rig.authority.node(rig.address)
    (rig.folder / "cert").write_text(renewed.certificate_pem)
    (rig.folder / "key").write_text(renewed.key_pem)
    await rig.reload()
    (rig.folder / "manifest.json").write_text("{")
    await rig.agent.reload()
    records, _ = await fetch(channel)
    done, failed = only(records, kind="settings")
    assert (done["before"], done["serial"]) == (1, 2)
    assert (done["principals_added"], done["principals_removed"]) == (["eve"], ["oscar"])
    assert (done["certificates_denied"], done["certificate"]) == (["abc"], f"{renewed.serial:x}")
    assert failed["event"] == "reload_failed"


async def test_new_settings_are_told_also_when_the_agent_had_to_be_started_anew(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "node")
    for change in ("", "", "token", "authority"):
        if change == "token":
            rig.manifest["principals"][0]["tokenSha256"] = "0" * 64
            rig.write_manifest()
        elif change == "authority":
            (rig.folder / "ca").write_text(rig.authority.pem + ThrowAwayAuthority().pem)
        agent = Agent(rig.config, rig.memory)
        await agent.start()
        await agent.stop_now()
    lines = (rig.config.audit_folder / "000000000001.jsonl").read_bytes().splitlines()
    token, authority = only([parse(line) for line in lines], kind="settings")
    assert token == {"kind": "settings", "event": "start", "serial": 1, "before": 1, "principals_changed": ["ada"]}
    assert set(authority) == {"kind", "event", "serial", "before", "authority_sha256"}


def make_key(path: Path) -> str:
    """Make a key pair; return its fingerprint as OpenSSH says it."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    said = subprocess.run(["ssh-keygen", "-l", "-f", f"{path}.pub"], check=True, capture_output=True, text=True)
    return said.stdout.split()[1]


async def test_a_host_key_that_takes_the_place_of_another_is_told_by_its_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.audit.host_key.LOOK_EVERY_S", 0.01)
    notes = Notes(tmp_path)
    prints: list[str] = []
    public = tmp_path / "key.pub"
    for name in ("one", "two"):
        prints.append(make_key(tmp_path / name))
        (tmp_path / f"{name}.pub").replace(public)
        for _ in range(2):
            # A restart tells nothing new.
            watch = HostKeyNotes(public, notes)  # type: ignore[arg-type]
            await watch.start()
            await until(lambda: len(notes.lines) >= len(prints), "the key to be seen")
            await watch.stop()
    assert [line["ssh_host_key"] for line in notes.lines] == prints


async def test_an_observer_may_read_the_trail_and_a_stranger_may_not(rig: Rig) -> None:
    async with rig.open(rig.identities["oscar"]) as observer:
        records, _ = await fetch(observer)
    assert only(records, kind="agent", event="start")
    for stranger in (rig.authority.client("mallory"), ThrowAwayAuthority().client("ada")):
        identity = type(rig.identities["ada"])(stranger.certificate_pem, stranger.key_pem, "x")
        async with rig.open(identity) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await fetch(channel)


async def test_the_trail_is_sent_from_the_line_that_was_asked_for(rig: Rig, channel: AgentChannel) -> None:
    _, head = await fetch(channel)
    rig.agent.node.audit.note("file", event="put", path="/x")
    records, later = await fetch(channel, head.sequence)
    assert [line["seq"] for line in records] == [head.sequence, head.sequence + 1]
    assert later.sequence == head.sequence + 1
    assert (later.node, later.oldest_sequence) == ("demo-1", 1)


async def test_who_asks_and_goes_away_leaves_no_file_open(rig: Rig, channel: AgentChannel) -> None:
    await fetch(channel)

    def open_files() -> int:
        found = 0
        for entry in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                found += entry.readlink().is_relative_to(rig.config.audit_folder)
        return found

    before = open_files()
    for _ in range(30):
        asking = asyncio.create_task(rig.agent.node.audit.snapshot(1))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        call = channel.stub.Audit(pb.AuditRequest(), metadata=channel.metadata)
        call.cancel()
    await fetch(channel)
    await until(lambda: open_files() == before, "the files to be closed")


async def test_agents_that_follow_each_other_write_one_trail(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "node")
    for _ in range(2):
        agent = Agent(rig.config, rig.memory)
        await agent.start()
        await agent.stop_now()
    lines = (rig.config.audit_folder / "000000000001.jsonl").read_bytes().splitlines()
    said = [(line["kind"], line["event"]) for line in map(json.loads, lines)]
    assert said == [("chain", "begin"), *[("agent", "start"), ("agent", "stop")] * 2]


async def test_an_agent_that_cannot_keep_its_trail_does_not_serve(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "node")
    rig.config.audit_folder.touch()
    agent = Agent(rig.config, rig.memory)
    with pytest.raises(AgentError, match="audit cannot be written: File exists"):
        await agent.start()
    rig.config.audit_folder.unlink()
    first = Agent(rig.config, rig.memory)
    await first.start()
    try:
        with pytest.raises(AgentError, match="is written by another agent"):
            await Agent(rig.config, rig.memory).start()
    finally:
        await first.stop_now()


class Notes:
    """Takes notes as a trail does."""

    def __init__(self, folder: Path = Path()) -> None:
        self.folder = folder
        self.lines: list[dict[str, object]] = []

    def note(self, kind: str, **fields: object) -> None:
        self.lines.append({"kind": kind, **fields})


KEY = "ED25519 SHA256:uLtM5tcVoXvRcOQ2m0Zy8Ztq3XhWf2dGJq8n9X3m1aA"


def test_sessions_are_told_by_sshds_own_words() -> None:
    notes = Notes()
    sessions = Sessions(notes)  # type: ignore[arg-type]
    sessions.take(f"Accepted publickey for gaxx from 10.0.2.2 port 40118 ssh2: {KEY}")
    sessions.take("Received disconnect from 10.0.2.2 port 40118:11: disconnected by user")
    sessions.take("Disconnected from user gaxx 10.0.2.2 port 40118")
    sessions.take("Accepted publickey for gaxx from ::1 port 40120 ssh2", pid="77")
    sessions.take("pam_unix(sshd:session): session opened for user gaxx(uid=1000) by (uid=0)", pid="77")
    sessions.take("pam_unix(sshd:session): session closed for user gaxx", pid="77")
    sessions.take("Connection closed by 10.0.2.2 port 9")
    sessions.take("Accepted publickey for gaxx from 10.0.2.2 port 11 ssh2")
    sessions.take("Closing connection to 10.0.2.2 port 11")
    assert [(line["event"], line["user"], line["peer"]) for line in notes.lines] == [
        ("begin", "gaxx", "10.0.2.2:40118"),
        ("end", "gaxx", "10.0.2.2:40118"),
        ("begin", "gaxx", "[::1]:40120"),
        ("end", "gaxx", "[::1]:40120"),
        ("begin", "gaxx", "10.0.2.2:11"),
        ("end", "gaxx", "10.0.2.2:11"),
    ]
    assert notes.lines[0]["key"] == KEY


@pytest.mark.parametrize(
    ("message", "user"),
    [
        ("Connection closed by authenticating user root 10.0.0.9 port 55 [preauth]", "root"),
        (
            "Connection closed by invalid user bob from 10.0.0.9 port 1 10.0.0.9 port 55 [preauth]",
            "bob from 10.0.0.9 port 1",
        ),
        ("Disconnecting authenticating user gaxx 10.0.0.9 port 55: Too many authentication failures [preauth]", "gaxx"),
        ("Unable to negotiate with 10.0.0.9 port 55: no matching cipher found. Their offer: 3des-cbc [preauth]", ""),
    ],
)
def test_logins_that_are_refused_are_told(message: str, user: str) -> None:
    notes = Notes()
    Sessions(notes).take(message)  # type: ignore[arg-type]
    (line,) = notes.lines
    assert (line["event"], line["user"], line["peer"]) == ("refused", user, "10.0.0.9:55")


def test_what_strangers_cause_is_counted_and_not_written_one_by_one() -> None:
    now_s = 5.0
    limit = Limit(3, clock=lambda: now_s)
    assert [limit.passes() for _ in range(5)] == [{}, {}, {}, None, None]
    now_s = 6.2
    assert [limit.passes() for _ in range(4)] == [{"unnoted_before": 2}, {}, {}, None]
    now_s = 9.0
    assert limit.passes() == {"unnoted_before": 1}


async def test_sshds_log_is_followed_over_restarts_and_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.audit.ssh.POLL_S", 0.01)
    log = tmp_path / "sshd.log"

    def accepted(port: int) -> str:
        return f"Accepted publickey for gaxx from 127.0.0.1 port {port} ssh2\n"

    log.write_text(accepted(1))
    notes = Notes(tmp_path)

    async def followed(count: int) -> None:
        follower = SshLog(str(log), notes)  # type: ignore[arg-type]
        await follower.start()
        await until(lambda: len(notes.lines) >= count, f"{count} sessions")
        reached = f"{log.stat().st_ino} {log.stat().st_size}"
        await until(lambda: _read(tmp_path / ".ssh-log") == reached, "the place to be remembered")
        await follower.stop()

    await followed(1)
    with log.open("a") as file:
        file.write(accepted(2))
    await followed(2)
    log.write_text(accepted(3))
    await followed(3)
    assert [line["peer"] for line in notes.lines] == ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]


async def test_what_sshd_says_comes_into_the_trail(channel: AgentChannel, tmp_path: Path) -> None:
    with (tmp_path / "sshd.log").open("a") as file:
        file.write(f"Accepted publickey for gaxx from 127.0.0.1 port 9 ssh2: {KEY}\n")
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(15):
        while not found:
            records, _ = await fetch(channel)
            found = only(records, kind="ssh")
    assert found[0]["key"] == KEY
