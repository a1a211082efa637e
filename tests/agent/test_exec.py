"""Commands through agent and runner: streams, endings, limits, and what happens to them when somebody leaves."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from agent.client import AgentChannel
from agent.proto.agent_pb2 import (
    CANCELLED,
    DEADLINE,
    EXITED,
    RUNNER_LOST,
    SIGNALED,
    SPAWN_FAILED,
    ExecRequest,
    InfoRequest,
)
from tests.agent.rig import Outcome, Rig, execute, is_running, start_request, until

pytestmark = pytest.mark.engine

EOF: object = getattr(grpc.aio, "EOF")  # noqa: B009 - missing in the stubs


class Session:
    """An Exec that goes on: read it until something has come, feed it, leave it."""

    def __init__(self, channel: AgentChannel) -> None:
        self.outcome = Outcome()
        self.call = channel.stub.Exec(metadata=channel.metadata)

    async def start(self, *argv: bytes, detached: bool = False, **command: object) -> None:
        await self.call.write(start_request(argv, detached=detached, **command))

    async def read_until(self, wanted: bytes) -> None:
        while wanted not in self.outcome.stdout:
            event = await self.call.read()
            assert event is not EOF, f"ended without {wanted!r}: {self.outcome}"
            self.outcome.add(event)

    async def read_to_end(self) -> Outcome:
        while (event := await self.call.read()) is not EOF:
            self.outcome.add(event)
        return self.outcome


async def test_stdout_and_stderr_come_apart_with_the_exit_code(channel: AgentChannel) -> None:
    outcome = await execute(channel, b"sh", b"-c", b"echo out; echo err >&2; exit 7")
    assert (outcome.stdout, outcome.stderr) == (b"out\n", b"err\n")
    assert (outcome.exit.ending, outcome.exit.exit_code) == (EXITED, 7)
    assert outcome.pid > 0
    assert outcome.exit.wall_s > 0
    assert outcome.exit.max_rss_bytes > 0


async def test_that_it_started_is_said_once_by_whatever_says_it_first(channel: AgentChannel) -> None:
    at_once = await execute(channel, b"true")
    assert (at_once.kinds, at_once.pid > 0) == (["exited"], True)
    fed = await execute(channel, b"true", stdin=b"waits for the word")
    assert fed.kinds == ["started", "exited"]
    session = Session(channel)
    await session.start(b"sleep", b"60")
    event = await session.call.read()
    assert event.started.pid > 0
    session.call.cancel()
    await until(lambda: not is_running(event.started.pid), "the process of the client that left to end")
    never = await execute(channel, b"/nowhere")
    assert (never.kinds, never.pid, never.exit.ending) == (["exited"], 0, SPAWN_FAILED)


async def test_arguments_and_variables_are_bytes_and_no_shell_sees_them(channel: AgentChannel) -> None:
    odd = b"\xff\xfe $HOME `id` \n'\""
    outcome = await execute(channel, b"printf", b"%s|", odd, b"", b"--x")
    assert outcome.stdout == odd + b"||--x|"
    outcome = await execute(channel, b"printenv", b"ODD", env={"ODD": odd})
    assert outcome.stdout == odd + b"\n"


async def test_stdin_of_a_megabyte_arrives_whole(channel: AgentChannel) -> None:
    data = os.urandom(1024) * 1024
    outcome = await execute(channel, b"cat", stdin=data)
    assert outcome.stdout == data


async def test_without_stdin_a_reader_sees_the_end_at_once(channel: AgentChannel) -> None:
    outcome = await execute(channel, b"cat")
    assert (outcome.exit.ending, outcome.stdout) == (EXITED, b"")


async def test_a_process_that_ignores_its_stdin_does_not_block_the_sender(channel: AgentChannel) -> None:
    outcome = await execute(channel, b"true", stdin=bytes(8 * 1024 * 1024))
    assert (outcome.exit.ending, outcome.exit.exit_code) == (EXITED, 0)


async def test_a_signal_of_its_own_is_told_from_ours(channel: AgentChannel) -> None:
    outcome = await execute(channel, b"sh", b"-c", b"kill -SEGV $$")
    assert (outcome.exit.ending, outcome.exit.signal) == (SIGNALED, signal.SIGSEGV)


async def test_a_signal_from_the_client_reaches_the_group(channel: AgentChannel) -> None:
    session = Session(channel)
    await session.start(b"sh", b"-c", b"trap 'echo caught; exit 3' USR1; echo ready; while :; do sleep 0.05; done")
    await session.read_until(b"ready")
    await session.call.write(ExecRequest(signal=signal.SIGUSR1))
    outcome = await session.read_to_end()
    assert b"caught" in outcome.stdout
    assert outcome.exit.exit_code == 3


async def test_the_deadline_kills_the_whole_group(channel: AgentChannel) -> None:
    outcome = await execute(channel, b"sh", b"-c", b"sleep 60 & echo $!; wait", deadline_s=0.3)
    assert outcome.exit.ending == DEADLINE
    child = int(outcome.stdout)
    await until(lambda: not is_running(child), "the child of the killed shell to end")


async def test_what_left_the_group_is_killed_too(channel: AgentChannel) -> None:
    # timeout(1) makes itself a group of its own.
    outcome = await execute(channel, b"sh", b"-c", b"echo $$; timeout 60 sleep 60", deadline_s=0.3)
    assert outcome.exit.ending == DEADLINE
    session = outcome.stdout.strip()
    await until(lambda: not _members(int(session)), "everything of the session to end")


async def test_what_ignores_term_is_killed_after_the_grace(channel: AgentChannel) -> None:
    began = time.monotonic()
    outcome = await execute(channel, b"sh", b"-c", b"trap '' TERM; echo on; sleep 60 & wait; sleep 60", deadline_s=0.2)
    assert outcome.exit.ending == DEADLINE
    assert outcome.exit.signal == signal.SIGKILL
    assert time.monotonic() - began < 15


async def test_output_beyond_the_limit_is_cut_and_counted_and_the_process_goes_on(channel: AgentChannel) -> None:
    outcome = await execute(channel, b"sh", b"-c", b"head -c 1000000 /dev/zero; echo done >&2", stdout_limit_bytes=1000)
    assert len(outcome.stdout) == 1000
    assert outcome.exit.stdout_cut
    assert outcome.exit.stdout_bytes == 1_000_000
    assert (outcome.stderr, outcome.exit.stderr_cut, outcome.exit.ending) == (b"done\n", False, EXITED)


async def test_a_gigabyte_of_output_starves_nobody_and_grows_nothing(channel: AgentChannel, rig: Rig) -> None:
    big = Session(channel)
    await big.start(b"head", b"-c", b"1000000000", b"/dev/zero", stdout_limit_bytes=10**12)
    await big.read_until(b"\0")
    # Nobody reads the big one now: it has to wait, and others do not.
    for _ in range(5):
        outcome = await asyncio.wait_for(execute(channel, b"echo", b"hi"), 5)
        assert outcome.stdout == b"hi\n"
    runner = rig.agent.node.runner.runner_pid
    assert _resident_bytes(runner) < 60 * 1024 * 1024
    total = len(big.outcome.stdout)
    while (event := await big.call.read()) is not EOF:
        total += len(event.stdout)
        if event.HasField("exited"):
            assert event.exited.stdout_bytes == 1_000_000_000
    assert total == 1_000_000_000
    assert _resident_bytes(runner) < 60 * 1024 * 1024


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([b"no-such-program"], "command not found on PATH"),
        ([b"/etc/passwd"], "Permission denied"),
        ([b"/"], "Permission denied"),
        ([b"echo", b"x" * 200_000], "an argument has 200000 bytes; the kernel takes 131071"),
        ([b"echo", *[b"x" * 120_000] * 30], "arguments and environment together are too long"),
        ([b"echo", b"a\0b"], "zero byte"),
        ([b""], "no command was given"),
    ],
)
async def test_what_cannot_start_says_why(channel: AgentChannel, argv: list[bytes], said: str) -> None:
    outcome = await execute(channel, *argv)
    assert outcome.exit.ending == SPAWN_FAILED
    assert said in outcome.exit.error


async def test_a_script_with_a_missing_interpreter_says_so(channel: AgentChannel, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    outcome = await execute(channel, os.fsencode(script))
    assert "its interpreter" in outcome.exit.error


async def test_a_script_without_its_first_line_is_not_given_to_a_shell(channel: AgentChannel, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo hi\n")
    script.chmod(0o755)
    outcome = await execute(channel, os.fsencode(script))
    assert outcome.exit.ending == SPAWN_FAILED
    assert "#! line" in outcome.exit.error


async def test_a_working_folder_that_is_not_there_says_so(channel: AgentChannel) -> None:
    outcome = await execute(channel, b"pwd", cwd=b"/no/such/folder")
    assert outcome.exit.ending == SPAWN_FAILED
    assert "/no/such/folder: No such file or directory" in outcome.exit.error


async def test_commands_start_in_the_folder_of_their_principal(channel: AgentChannel, rig: Rig) -> None:
    outcome = await execute(channel, b"pwd")
    assert outcome.stdout.decode().strip() == str(rig.folder / "work" / "ada")


async def test_items_see_the_declared_environment_and_nothing_of_the_agent(channel: AgentChannel, rig: Rig) -> None:
    outcome = await execute(channel, b"env", b"-0")
    names = {entry.partition(b"=")[0].decode() for entry in outcome.stdout.split(b"\0") if entry}
    assert names == {"PATH", "HOME", "LANG", "DECLARED", "GAXX_NODE"}
    assert rig.config.token.encode() not in outcome.stdout


async def test_items_inherit_three_descriptors_and_usual_signals_and_limits(channel: AgentChannel) -> None:
    # No pipe: the shell has it open, too, for as long as it starts what stands on both sides.
    script = b"ls /proc/$$/fd; echo core; ulimit -c; grep -E 'Sig(Ign|Blk)' /proc/self/status"
    outcome = await execute(channel, b"sh", b"-c", script)
    fds, _, rest = outcome.stdout.decode().partition("core\n0\n")
    assert set(fds.split()) == {"0", "1", "2"}
    masks = {name: int(mask, 16) for name, _, mask in (line.partition(":") for line in rest.splitlines())}
    assert masks["SigBlk"] == 0
    # The C library's posix_spawn leaves its two internal signals, 32 and 33, ignored.
    assert masks["SigIgn"] & ~(0b11 << 31) == 0


async def test_the_client_going_away_kills_the_group(channel: AgentChannel) -> None:
    session = Session(channel)
    await session.start(b"sh", b"-c", b"sleep 60 & echo $$ $! ready; wait")
    await session.read_until(b"ready")
    pids = [int(word) for word in session.outcome.stdout.split()[:2]]
    session.call.cancel()
    await until(lambda: not any(map(is_running, pids)), "shell and child to end")


async def test_a_detached_command_outlives_its_client_and_its_output_is_swallowed(
    channel: AgentChannel, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    session = Session(channel)
    script = f"echo ready; head -c 3000000 /dev/zero; echo done > {mark}; exec sleep 60"
    await session.start(b"sh", b"-c", script.encode(), detached=True)
    await session.read_until(b"ready")
    session.call.cancel()
    await until(mark.exists, "the detached command to get past its output")
    assert is_running(session.outcome.pid)
    os.kill(session.outcome.pid, signal.SIGKILL)


async def test_what_a_command_leaves_behind_ends_with_it(channel: AgentChannel) -> None:
    began = time.monotonic()
    outcome = await execute(channel, b"sh", b"-c", b"sleep 60 & echo $!")
    assert time.monotonic() - began < 10, "its open stdout must not keep the call"
    assert outcome.exit.ending == EXITED
    await until(lambda: not is_running(int(outcome.stdout)), "the background sleep to end")


async def test_output_of_a_child_that_ends_a_little_later_is_not_lost(channel: AgentChannel) -> None:
    outcome = await execute(channel, b"sh", b"-c", b"(sleep 0.2; echo late) & echo early")
    assert outcome.stdout == b"early\nlate\n"


async def test_a_cancelled_call_frees_its_place(channel: AgentChannel, rig: Rig) -> None:
    sessions = [Session(channel) for _ in range(5)]
    for session in sessions:
        await session.start(b"sh", b"-c", b"echo ready; exec sleep 60")
        await session.read_until(b"ready")
    info = await channel.stub.Info(InfoRequest(), metadata=channel.metadata)
    assert info.why_not_idle == "5 commands running"
    for session in sessions:
        session.call.cancel()
    await until(lambda: rig.agent.node.activity.sessions == 0, "all places to be free")
    await until(lambda: rig.agent.node.runner.running == 0, "the runner to have ended all")


async def test_a_killed_runner_is_replaced_and_its_commands_say_so(channel: AgentChannel, rig: Rig) -> None:
    session = Session(channel)
    await session.start(b"sh", b"-c", b"echo ready; exec sleep 60")
    await session.read_until(b"ready")
    runner = rig.agent.node.runner
    before = runner.runner_pid
    os.kill(before, signal.SIGKILL)
    outcome = await session.read_to_end()
    assert outcome.exit.ending == RUNNER_LOST
    assert "runner died" in outcome.exit.error
    again = await execute(channel, b"echo", b"back")
    assert again.stdout == b"back\n"
    assert runner.runner_pid != before
    await until(lambda: not is_running(session.outcome.pid), "the lost command to be swept away")


async def test_draining_lets_commands_finish_and_refuses_new_ones(channel: AgentChannel, rig: Rig) -> None:
    session = Session(channel)
    await session.start(b"sh", b"-c", b"echo ready; read line; echo $line", has_stdin=True)
    await session.read_until(b"ready")
    drain = asyncio.create_task(rig.agent.drain(10))
    await until(lambda: rig.agent.node.activity.draining, "the drain to begin")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await execute(channel, b"true")
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "draining" in (refused.value.details() or "")
    assert not await channel.is_serving()
    await session.call.write(ExecRequest(stdin=b"finished\n"))
    outcome = await session.read_to_end()
    assert outcome.stdout == b"ready\nfinished\n"
    await drain


async def test_the_first_request_must_be_start(channel: AgentChannel) -> None:
    async def requests() -> AsyncIterator[ExecRequest]:
        yield ExecRequest(stdin=b"x")

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async for _ in channel.stub.Exec(requests(), metadata=channel.metadata):
            pass
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_hundred_commands_at_once_all_answer(channel: AgentChannel) -> None:
    outcomes = await asyncio.gather(*(execute(channel, b"echo", b"%d" % number) for number in range(100)))
    assert [outcome.stdout for outcome in outcomes] == [b"%d\n" % number for number in range(100)]
    assert CANCELLED not in {outcome.exit.ending for outcome in outcomes}


def _members(session: int) -> list[int]:
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and is_running(int(entry.name)):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                members.append(int(entry.name))
    return members


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
