"""Collected items through a real runner: outputs kept, cut or spooled, slots kept, nothing answered twice or never."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from agent.proto.agent_pb2 import CANCELLED, DEADLINE, EXITED, RUNNER_LOST, SPAWN_FAILED, Command
from agent.proto.runner_pb2 import Finished, Spawn
from agent.runner.table import sweep
from agent.runner_client import RunnerConnection, RunnerUnavailable
from tests.agent.rig import PATIENCE_S, is_running, until

pytestmark = pytest.mark.engine


class Collector:
    """Takes Finished from batches and waits for as many as were sent."""

    def __init__(self, runner: RunnerConnection) -> None:
        self.runner = runner
        self.by_id: dict[int, Finished] = {}
        self.deliveries: Counter[int] = Counter()

    def __call__(self, finished: Sequence[Finished]) -> None:
        for one in finished:
            self.by_id[one.id] = one
            self.deliveries[one.id] += 1

    def send(self, *spawns: Spawn, slots: int = 0) -> list[int]:
        return self.runner.batch(spawns, self, slots=slots)

    async def all_of(self, ids: Sequence[int]) -> list[Finished]:
        await until(lambda: all(ident in self.by_id for ident in ids), f"{len(ids)} items to finish")
        return [self.by_id[ident] for ident in ids]

    async def run(self, *spawns: Spawn, slots: int = 0) -> list[Finished]:
        return await self.all_of(self.send(*spawns, slots=slots))


def item(*argv: bytes, **more: object) -> Spawn:
    command = {name: more.pop(name) for name in ("deadline_s", "env", "stdout_limit_bytes", "cwd") if name in more}
    return Spawn(command=Command(argv=argv, **command), **more)  # type: ignore[arg-type]


def shell(script: str, **more: object) -> Spawn:
    return item(b"sh", b"-c", script.encode(), **more)


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[RunnerConnection]:
    made = RunnerConnection(
        socket=None, run_dir=tmp_path / "run", work_dir=tmp_path / "work", slots=2, env={"DECLARED": "yes"}
    )
    try:
        await made.start()
        yield made
    finally:
        await made.close()


@pytest.fixture
def collector(runner: RunnerConnection) -> Collector:
    return Collector(runner)


async def test_each_item_has_its_own_output_and_code(collector: Collector) -> None:
    finished = await collector.run(*(shell(f"echo {n}; echo e{n} >&2; exit {n}") for n in range(50)))
    assert [one.stdout for one in finished] == [b"%d\n" % n for n in range(50)]
    assert [one.stderr for one in finished] == [b"e%d\n" % n for n in range(50)]
    assert [one.exit.exit_code for one in finished] == list(range(50))
    assert all(one.start_unix_s <= one.end_unix_s <= time.time() for one in finished)


async def test_a_work_folder_is_made_and_is_where_the_item_runs(collector: Collector, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    (finished,) = await collector.run(item(b"pwd", work_dir=os.fsencode(folder)))
    assert finished.stdout == os.fsencode(folder) + b"\n"
    (finished,) = await collector.run(item(b"pwd", work_dir=os.fsencode(folder), cwd=b".."))
    assert finished.stdout == os.fsencode(folder.parent) + b"\n"


async def test_output_beyond_the_inline_limit_is_whole_in_the_spool_folder(
    collector: Collector, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    spawn = shell("seq 1 200000; echo small >&2", spool=os.fsencode(spool), inline_limit_bytes=1000)
    (finished,) = await collector.run(spawn)
    whole = "".join(f"{n}\n" for n in range(1, 200_001)).encode()
    assert finished.output_held
    assert finished.stdout == whole[:1000]
    assert (spool / "stdout").read_bytes() == whole
    assert not (spool / "stderr").exists()
    assert (finished.exit.stdout_bytes, finished.exit.stdout_cut) == (len(whole), False)


async def test_the_limit_cuts_what_is_spooled_too(collector: Collector, tmp_path: Path) -> None:
    spawn = item(
        b"head", b"-c", b"1000000", b"/dev/zero",
        spool=os.fsencode(tmp_path / "spool"), inline_limit_bytes=10, stdout_limit_bytes=5000,
    )  # fmt: skip
    (finished,) = await collector.run(spawn)
    assert (tmp_path / "spool" / "stdout").stat().st_size == 5000
    assert finished.exit.stdout_cut
    assert finished.exit.stdout_bytes == 1_000_000


async def test_without_a_spool_folder_the_rest_is_counted_and_dropped(collector: Collector) -> None:
    (finished,) = await collector.run(item(b"head", b"-c", b"1000000", b"/dev/zero", inline_limit_bytes=10))
    assert finished.stdout == bytes(10)
    assert (finished.exit.stdout_cut, finished.output_held, finished.exit.ending) == (True, False, EXITED)


async def test_a_gigabyte_from_one_item_holds_up_nobody(collector: Collector) -> None:
    big = collector.send(item(b"head", b"-c", b"1000000000", b"/dev/zero"), slots=2)
    small = collector.send(*(item(b"echo", b"%d" % n) for n in range(20)), slots=2)
    await collector.all_of(small)
    (finished,) = await collector.all_of(big)
    assert finished.exit.stdout_bytes == 1_000_000_000
    statm = Path(f"/proc/{collector.runner.runner_pid}/statm").read_text()  # noqa: ASYNC240 - not on a disk
    assert int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE") < 60 * 1024 * 1024


async def test_known_stdin_is_given_whole_whatever_its_size(collector: Collector) -> None:
    data = os.urandom(1000) * 1000
    finished = await collector.run(
        item(b"sha256sum", stdin_data=data), item(b"wc", b"-c", stdin_data=b"abc"), item(b"true", stdin_data=data)
    )
    assert finished[1].stdout.strip() == b"3"
    assert finished[2].exit.ending == EXITED
    again = await collector.run(item(b"sha256sum", stdin_data=data))
    assert again[0].stdout == finished[0].stdout


async def test_never_more_at_once_than_there_are_slots(collector: Collector, tmp_path: Path) -> None:
    script = f"mkdir {tmp_path}/$$; ls {tmp_path} | grep -c '^[0-9]'; sleep 0.05; rmdir {tmp_path}/$$"
    finished = await collector.run(*(shell(script) for _ in range(12)), slots=3)
    counts = [int(one.stdout) for one in finished]
    assert max(counts) == 3


async def test_an_item_over_its_deadline_is_killed_and_the_next_goes_on(collector: Collector) -> None:
    slow, quick = await collector.run(item(b"sleep", b"60", deadline_s=0.2), item(b"echo", b"hi"), slots=1)
    assert (slow.exit.ending, quick.stdout) == (DEADLINE, b"hi\n")


async def test_killing_takes_queued_items_off_and_ends_running_ones(collector: Collector) -> None:
    ids = collector.send(*(item(b"sleep", b"60") for _ in range(5)), slots=2)
    for ident in ids[2:]:
        collector.runner.kill(ident)
    finished = await collector.all_of(ids[2:])
    assert all(one.exit.ending == CANCELLED and not one.start_unix_s for one in finished)
    assert not any(ident in collector.by_id for ident in ids[:2])
    for ident in ids[:2]:
        collector.runner.kill(ident, ending=DEADLINE)
    finished = await collector.all_of(ids[:2])
    assert all(one.exit.ending == DEADLINE for one in finished)


async def test_what_cannot_start_is_a_result_like_any_other(collector: Collector) -> None:
    bad, good = await collector.run(item(b"no-such-program"), item(b"true"))
    assert bad.exit.ending == SPAWN_FAILED
    assert "command not found" in bad.exit.error
    assert good.exit.ending == EXITED


async def test_a_killed_runner_answers_for_every_item_once_and_leaves_no_process(collector: Collector) -> None:
    runner = collector.runner
    ids = collector.send(*(shell("echo $$; sleep 60") for _ in range(10)), slots=4)
    pids = await _children_of(runner.runner_pid, 4)
    os.kill(runner.runner_pid, signal.SIGKILL)
    finished = await collector.all_of(ids)
    assert {one.exit.ending for one in finished} == {RUNNER_LOST}
    with pytest.raises(RunnerUnavailable):
        collector.send(item(b"true"))
    async with asyncio.timeout(PATIENCE_S):
        await runner.wait_alive()
    (again,) = await collector.run(item(b"echo", b"back"))
    assert again.stdout == b"back\n"
    assert set(collector.deliveries.values()) == {1}
    await until(lambda: not any(map(is_running, pids)), "the items of the killed runner to be swept away")


async def test_closing_the_connection_ends_the_items_and_the_runner(collector: Collector) -> None:
    runner = collector.runner
    pid = runner.runner_pid
    ids = collector.send(item(b"sleep", b"60"))
    children = await _children_of(pid, 1)
    await runner.close()
    assert collector.by_id[ids[0]].exit.ending == RUNNER_LOST
    await until(lambda: not any(map(is_running, [pid, *children])), "runner and item to end")


@pytest.fixture
def lone_runner(tmp_path: Path) -> Iterator["LoneRunner"]:
    made = LoneRunner(tmp_path)
    yield made
    made.end()


class LoneRunner:
    """A runner that somebody else started, behind a path longer than a socket's name may be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ("long" * 30)
        self.folder.mkdir()
        self.socket = self.folder / "runner.sock"
        self.popen: subprocess.Popen[bytes] | None = None

    def start(self, **more: str) -> None:
        environ = {
            "PATH": os.environ["PATH"],
            "GAXX_RUNNER_SOCKET": str(self.socket),
            "GAXX_RUNNER_WORK_DIR": str(self.folder / "work"),
            "GAXX_RUNNER_SLOTS": "3",
            **more,
        }
        self.popen = subprocess.Popen([sys.executable, "-m", "agent.runner"], env=environ, stderr=subprocess.PIPE)

    def end(self, number: int = signal.SIGKILL) -> tuple[int, str]:
        if self.popen is None:
            return 0, ""
        self.popen.send_signal(number)
        _, said = self.popen.communicate(timeout=15)
        code, self.popen = self.popen.returncode, None
        return code, (said or b"").decode()


async def test_a_runner_of_another_is_connected_to_and_found_again(lone_runner: LoneRunner) -> None:
    lone_runner.start()
    connection = RunnerConnection(
        socket=lone_runner.socket, run_dir=lone_runner.folder, work_dir=lone_runner.folder, slots=1, env={}
    )
    await connection.start()
    try:
        assert connection.slots == 3
        collector = Collector(connection)
        (one,) = await collector.run(item(b"env"))
        assert b"GAXX_RUNNER" not in one.stdout
        lone_runner.end()
        await until(lambda: not connection.is_alive, "the loss to be noticed")
        lone_runner.start()
        await until(lambda: connection.is_alive, "the new runner to be found")
        (one,) = await collector.run(item(b"echo", b"again"))
        assert one.stdout == b"again\n"
    finally:
        await connection.close()
    assert lone_runner.end(signal.SIGTERM) == (0, "")
    assert not lone_runner.socket.exists()


async def test_an_item_that_wants_more_memory_than_the_node_gives_fails_and_the_next_one_does_not(
    lone_runner: LoneRunner,
) -> None:
    lone_runner.start(GAXX_RUNNER_MEMORY_LIMIT_BYTES=str(256 * 1024 * 1024))
    connection = RunnerConnection(
        socket=lone_runner.socket, run_dir=lone_runner.folder, work_dir=lone_runner.folder, slots=1, env={}
    )
    await connection.start()
    try:
        python = sys.executable.encode()
        greedy, modest = (item(python, b"-c", b"bytearray(%d << 20)" % mebibytes) for mebibytes in (512, 64))
        ends = [one.exit.exit_code for one in await Collector(connection).run(greedy, modest)]
        (said,) = await Collector(connection).run(greedy)
    finally:
        await connection.close()
    assert ends == [1, 0]
    assert b"MemoryError" in said.stderr


def test_a_second_runner_on_the_same_socket_is_refused(lone_runner: LoneRunner) -> None:
    lone_runner.start()
    deadline = time.monotonic() + PATIENCE_S
    while not lone_runner.socket.is_socket():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    second = LoneRunner.__new__(LoneRunner)
    second.folder, second.socket, second.popen = lone_runner.folder, lone_runner.socket, None
    second.start()
    assert second.popen is not None
    assert second.popen.wait(15) == 1
    assert "another runner listens" in second.end()[1]
    assert lone_runner.socket.is_socket()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"GAXX_RUNNER_SLOTS": "0"}, "GAXX_RUNNER_SLOTS is '0'; it must be a number from 1"),
        ({"GAXX_RUNNER_MEMORY_LIMIT_BYTES": "1g"}, "GAXX_RUNNER_MEMORY_LIMIT_BYTES is '1g'; it must be a number"),
        ({"GAXX_RUNNER_WORK_DIR": ""}, "GAXX_RUNNER_WORK_DIR not set"),
        ({"GAXX_RUNNER_ENV_FILE": "/no/such"}, "/no/such"),
    ],
)
def test_a_runner_that_cannot_start_says_why_in_one_line(
    lone_runner: LoneRunner, change: dict[str, str], said: str
) -> None:
    lone_runner.start(**change)
    assert lone_runner.popen is not None
    assert lone_runner.popen.wait(15) == 1
    text = lone_runner.end()[1]
    assert said in text
    assert text.count("\n") == 1


async def test_sweeping_spares_detached_items_unless_told(lone_runner: LoneRunner) -> None:
    lone_runner.start()
    connection = RunnerConnection(
        socket=lone_runner.socket, run_dir=lone_runner.folder, work_dir=lone_runner.folder, slots=1, env={}
    )
    await connection.start()
    pids = []
    for detached in (False, True):
        stream = await connection.spawn_stream(Command(argv=[b"sleep", b"60"]), detached=detached)
        began = await anext(aiter(stream))
        pids.append(getattr(began, "pid", 0))
    folder = lone_runner.folder
    assert sweep(folder) == 0, "a runner that lives keeps its items"
    lone_runner.end()
    await connection.close()
    assert sweep(folder) == 1
    await until(lambda: not is_running(pids[0]), "the attached item to end")
    assert is_running(pids[1])
    assert sweep(folder, detached_too=True) == 1
    await until(lambda: not is_running(pids[1]), "the detached item to end")
    assert not list(folder.glob("*.items"))


async def _children_of(pid: int, count: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found: list[int] = []

    def enough() -> bool:
        found[:] = [int(word) for word in children.read_text().split()]
        return len(found) == count

    await until(enough, f"{count} items to run")
    return found
