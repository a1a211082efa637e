"""A node that has been idle for too long ends itself, and never one on which something goes on or waits."""

import contextlib
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from agent import idleness
from agent.client import open_channel
from agent.idleness import Record
from agent.proto import agent_pb2 as pb
from agent.server import Agent
from tests.agent.controller_end import Stream
from tests.agent.pki import TLS_NAME
from tests.agent.rig import Rig, execute, start_request, until
from tests.agent.test_process import Process, environ_of

LIMIT_S = 0.3
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Idler:
    """A node with an idle limit, whose agent can be started again and again."""

    def __init__(self, folder: Path, limit_s: float, **settings: Any) -> None:
        self.rig = Rig(folder, **{"end_file": folder / "end", **settings})
        self.rig.manifest["idle_s"] = limit_s
        self.rig.write_manifest()
        self.end = folder / "end"
        self.record = self.rig.config.idleness_file

    @property
    def agent(self) -> Agent:
        return self.rig.agent

    @property
    def why_not(self) -> str:
        return self.agent.node.activity.why_not_idle

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Rig]:
        """A new agent of the node, while this lasts."""
        self.rig.agent = Agent(self.rig.config, self.rig.memory)
        try:
            await self.agent.start()
            yield self.rig
        finally:
            await self.agent.stop_now()

    async def hurry(self) -> None:
        """Put the short limit in force, under what goes on: a busy computer may be slow to begin it."""
        self.rig.manifest["idle_s"] = LIMIT_S
        await self.rig.reload()

    async def limit_passes(self) -> None:
        """Wait for longer than an idle node would have."""
        reached_s = self.agent.node.activity.uptime_s + 3 * LIMIT_S
        await until(lambda: self.agent.node.activity.uptime_s > reached_s, "time to pass")

    def kept_idle_s(self) -> float:
        """What an agent that starts now would go on from."""
        return float(json.loads(self.record.read_text())["idle_s"])

    def keep(self, idle_s: float, *, boot: str = BOOT, at_s: float = 0.0, limit_s: float = 0.0) -> None:
        """Put there what an earlier agent has kept."""
        record = Record(boot, at_s, idle_s, limit_s)
        self.record.write_text(json.dumps(record._asdict()))

    def trail(self) -> list[dict[str, Any]]:
        """The audit trail, once the agent has stopped."""
        folder = self.rig.config.audit_folder
        return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a turn of seconds."""
    monkeypatch.setattr(idleness, "TICK_S", 0.2)


@pytest.fixture
def idler(tmp_path: Path) -> Idler:
    return Idler(tmp_path / "node", LIMIT_S)


@pytest.fixture
def patient(tmp_path: Path) -> Idler:
    """One that would wait for long."""
    return Idler(tmp_path / "node", 3600)


async def test_at_the_limit_it_takes_no_more_work_has_the_machine_ended_and_says_so(idler: Idler) -> None:
    async with idler.running() as rig, rig.open() as channel:
        await until(idler.end.exists, "the end")
        info = await channel.stub.Info(pb.InfoRequest(), metadata=channel.metadata)
        assert info.draining
        assert info.idle_limit_s == LIMIT_S
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await execute(channel, b"true")
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "draining" in str(caught.value.details())
    (said,) = [line for line in idler.trail() if line.get("event") == "idle"]
    assert said["kind"] == "agent"
    assert said["limit_s"] == LIMIT_S <= said["idle_s"]
    assert not idler.record.exists(), "who starts the machine again has all of its time again"


async def test_a_command_that_runs_keeps_it_and_its_end_begins_the_time_anew(patient: Idler) -> None:
    async with patient.running() as rig, rig.open() as channel:
        call = channel.stub.Exec(metadata=channel.metadata)
        await call.write(start_request([b"cat"], has_stdin=True))
        await call.read()
        await patient.hurry()
        await patient.limit_passes()
        assert not patient.end.exists()
        assert patient.why_not == "1 command running"
        await call.write(pb.ExecRequest(stdin_eof=True))
        await call.read()
        await until(patient.end.exists, "the end")


async def test_a_command_whose_caller_has_gone_keeps_it_too(patient: Idler) -> None:
    async with patient.running() as rig, rig.open() as channel:
        call = channel.stub.Exec(metadata=channel.metadata)
        await call.write(start_request([b"cat", b"/proc/self/stat", b"-"], has_stdin=True, detached=True))
        event = await call.read()
        assert isinstance(event, pb.ExecEvent)
        call.cancel()
        await until(lambda: patient.why_not == "1 detached", "the caller to be gone")
        os.kill(event.started.pid, signal.SIGKILL)
        await until(lambda: patient.why_not == "", "the command to end")


async def test_a_run_that_is_attached_keeps_it_although_it_has_no_items_yet(patient: Idler) -> None:
    async with patient.running() as rig, rig.open() as channel:
        stream = await Stream(channel).open()
        await patient.hurry()
        await patient.limit_passes()
        assert patient.why_not == "1 run attached"
        assert not patient.end.exists()
        stream.call.cancel()
        await until(patient.end.exists, "the end")


async def test_a_result_that_nobody_has_acknowledged_keeps_it_across_restarts(patient: Idler) -> None:
    async with patient.running() as rig, rig.open() as channel:
        stream = await Stream(channel).open()
        await stream.lease([b"true"])
        (result,) = await stream.collect(1)
        stream.call.cancel()
        await until(lambda: patient.why_not == "1 result not acknowledged", "the controller to be gone")
    async with patient.running() as rig, rig.open() as channel:
        assert patient.why_not == "1 result not acknowledged"
        await patient.hurry()
        await patient.limit_passes()
        assert not patient.end.exists()
        stream = await Stream(channel).open()
        (again,) = await stream.collect(1)
        assert again.index == result.index
        await stream.ack(again.result_id)
        await stream.send(bye=pb.WorkRequest.Bye())
        await until(patient.end.exists, "the end")


async def test_a_restart_is_no_activity(patient: Idler) -> None:
    async with patient.running():
        patient.agent.node.activity.resume(600)
    async with patient.running():
        assert 600 <= patient.agent.node.activity.idle_s < 660
    patient.keep(600, limit_s=3600, at_s=0.0)
    async with patient.running():
        assert patient.agent.node.activity.idle_s > 600, "the time in which no agent ran counts"


async def test_a_reboot_is_none_either_and_the_time_in_which_the_machine_was_off_is_not_counted(
    patient: Idler,
) -> None:
    patient.keep(600, boot="another life", at_s=0.0, limit_s=3600)
    async with patient.running():
        assert 600 <= patient.agent.node.activity.idle_s < 660


@pytest.mark.parametrize("text", ["", "{", "[]", '{"boot": 1}'])
async def test_a_record_that_a_power_cut_has_torn_begins_the_time_anew(patient: Idler, text: str) -> None:
    patient.record.write_text(text)
    async with patient.running():
        assert patient.agent.node.activity.idle_s < 60
        assert patient.kept_idle_s() < 60


async def test_under_another_limit_the_time_begins_anew(patient: Idler) -> None:
    async with patient.running() as rig:
        patient.agent.node.activity.resume(600)
        rig.manifest["idle_s"] = 300
        await rig.reload()
        await until(lambda: patient.agent.node.activity.idle_s < 60, "the new limit to be seen")
        assert not patient.end.exists()
        patient.agent.node.activity.resume(200)
    rig.manifest["idle_s"] = 100
    rig.write_manifest()
    async with patient.running():
        assert patient.agent.node.activity.idle_s < 60


async def test_work_that_begins_is_on_the_disk_before_a_crash_can_hide_it(patient: Idler) -> None:
    patient.keep(3000, boot="another life", limit_s=3600)
    async with patient.running() as rig, rig.open() as channel:
        assert patient.kept_idle_s() >= 3000
        await execute(channel, b"true")
        await until(lambda: patient.kept_idle_s() < 60, "the record to be true again")


async def test_who_works_in_a_terminal_is_not_thrown_out(tmp_path: Path) -> None:
    terminals = tmp_path / "pts"
    terminals.mkdir()
    for name in ("ptmx", "0"):
        (terminals / name).touch()
    idler = Idler(tmp_path / "node", LIMIT_S, terminals=terminals)
    async with idler.running():
        await idler.limit_passes()
        assert idler.why_not == "1 terminal open"
        assert not idler.end.exists()
        (terminals / "0").unlink()
        await until(idler.end.exists, "the end")


async def test_the_kernel_shows_a_terminal_where_it_is_looked_for(tmp_path: Path) -> None:
    idler = Idler(tmp_path / "node", 3600, terminals=Path("/dev/pts"))
    ends = os.openpty()
    async with idler.running():
        assert Path(os.ttyname(ends[1])).parent == Path("/dev/pts")
        assert re.fullmatch(r"\d+ terminals? open", idler.why_not)
    for end in ends:
        os.close(end)


async def test_terminals_that_cannot_be_seen_keep_it(tmp_path: Path) -> None:
    idler = Idler(tmp_path / "node", LIMIT_S, terminals=tmp_path / "nowhere")
    async with idler.running():
        assert "nowhere cannot be read (No such file or directory)" in idler.why_not
        await idler.limit_passes()
        assert not idler.end.exists()


async def test_where_nobody_ends_machines_idleness_is_only_told(tmp_path: Path) -> None:
    """A local node: at the end of its time to live nothing happens there either."""
    idler = Idler(tmp_path / "node", LIMIT_S, end_file=None)
    async with idler.running() as rig, rig.open() as channel:
        await idler.limit_passes()
        info = await channel.stub.Info(pb.InfoRequest(), metadata=channel.metadata)
        assert (info.idle_limit_s, info.draining) == (0, False)
        assert info.idle_s > LIMIT_S
        assert (await execute(channel, b"true")).finished


async def test_a_node_without_a_limit_is_never_idle_for_too_long(tmp_path: Path) -> None:
    idler = Idler(tmp_path / "node", 0)
    idler.keep(1e6)
    async with idler.running() as rig:
        await idler.limit_passes()
        assert idler.agent.node.activity.idle_s >= 1e6
        assert not idler.end.exists()
        assert not rig.agent.node.activity.draining


async def test_an_end_that_cannot_be_asked_for_is_said_once_and_work_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    idler = Idler(tmp_path / "node", LIMIT_S, end_file=tmp_path / "nowhere" / "end")

    def complaints() -> list[str]:
        return [text for text in caplog.messages if "cannot be asked for" in text]

    async with idler.running() as rig, rig.open() as channel:
        await until(lambda: complaints() != [], "the complaint")
        await idler.limit_passes()
        assert complaints() == [
            f"the end of this machine cannot be asked for: {tmp_path}/nowhere/end: No such file or directory"
        ]
        assert (await execute(channel, b"true")).finished


@pytest.mark.engine
async def test_a_crash_while_it_worked_does_not_make_it_idle(tmp_path: Path, patient: Idler) -> None:
    patient.keep(3000, boot="another life", limit_s=3600)
    assert await _crashing(tmp_path, patient) > 3000
    assert await _crashing(tmp_path, patient) < 60


async def _crashing(folder: Path, idler: Idler) -> float:
    """Start an agent, let it work, and kill it; return for how long it had been idle when it was first asked."""
    rig = idler.rig
    process = Process(folder)
    process.start({**environ_of(rig), "GAXX_AGENT_END_FILE": str(idler.end)})
    try:
        await until(lambda: process.says("agent serves"), "the agent to serve")
        async with open_channel(rig.address, 8088, TLS_NAME, rig.authority.pem, rig.identities["ada"]) as channel:
            info = await channel.stub.Info(pb.InfoRequest(), metadata=channel.metadata)
            await execute(channel, b"true")
            await until(lambda: idler.kept_idle_s() < 60, "the record to be true again")
            return float(info.idle_s)
    finally:
        process.signal(signal.SIGKILL)
        await until(process.ended, "its end")
