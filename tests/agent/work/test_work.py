"""Leased items through agent and runner: results are held until acknowledged, whoever goes away meanwhile."""

import asyncio
import contextlib
import hashlib
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from agent.proto import agent_pb2 as pb
from agent.server import Agent
from agent.work import returned
from agent.work.item_spawn import INLINE_BYTES
from tests.agent.controller_end import PATIENCE_S, Stream
from tests.agent.rig import Rig, is_running, until


@contextlib.asynccontextmanager
async def working(rig: Rig, **hello: Any) -> AsyncIterator[Stream]:
    """Open a stream on a channel of its own."""
    async with rig.open() as channel:
        stream = Stream(channel, **hello)
        try:
            yield await stream.open()
        finally:
            stream.call.cancel()


async def test_items_run_and_their_results_carry_everything(rig: Rig) -> None:
    async with working(rig) as stream:
        await stream.lease([b"sh", b"-c", b"echo out; echo err >&2; exit 3"], [b"true"], first=5)
        failed, fine = await stream.collect(2)
    assert (failed.index, failed.attempt, failed.lease) == (5, 1, 7)
    assert (failed.stdout, failed.stderr, failed.exit.exit_code) == (b"out\n", b"err\n", 3)
    assert 0 < failed.start_unix_s <= failed.end_unix_s
    assert (fine.index, fine.exit.ending, fine.exit.exit_code) == (6, pb.EXITED, 0)


async def test_an_item_finds_itself_in_its_environment(rig: Rig) -> None:
    env = {"MINE": b"yes", "GAXX_NODE": b"forged"}
    async with working(rig, env=env, node_rank=2, node_count=5, item_count=9) as stream:
        names = b"ITEM ITEM_INDEX ITEM_COUNT ATTEMPT NODE NODE_RANK NODE_COUNT RUN_ID".split()
        script = b"; ".join(b'echo "$GAXX_%s"' % name for name in names) + b'; echo "$MINE $DECLARED"; env'
        await stream.lease([b"sh", b"-c", script], first=3, value=b"\xff it's 'x'")
        (result,) = await stream.collect(1)
    lines = result.stdout.split(b"\n")
    assert lines[:8] == [b"\xff it's 'x'", b"3", b"9", b"1", b"demo-1", b"2", b"5", b"run-1"]
    assert lines[8] == b"yes by the manifest"
    assert b"GAXX_AGENT_" not in result.stdout


@pytest.mark.parametrize("value", [b"x" * (1 << 20), b"zero \0 byte"])
async def test_an_item_that_no_variable_can_hold_comes_on_stdin_and_in_a_file(rig: Rig, value: bytes) -> None:
    async with working(rig) as stream:
        script = b'sha256sum < "$GAXX_ITEM_FILE"; sha256sum; echo "${GAXX_ITEM-unset}"; echo "$GAXX_ITEM_FILE"'
        await stream.lease([b"sh", b"-c", script], value=value)
        (result,) = await stream.collect(1)
    in_file, on_stdin, unset, path, _ = result.stdout.split(b"\n")
    assert in_file == on_stdin == hashlib.sha256(value).hexdigest().encode() + b"  -"
    assert unset == b"unset"
    assert not (rig.folder / os.fsdecode(path)).exists()


async def test_results_wait_for_a_controller_that_went_away_and_go_when_it_has_them(rig: Rig) -> None:
    async with working(rig) as stream:
        await stream.lease([b"sh", b"-c", b"sleep 0.2; echo late"], [b"true"])
    async with working(rig) as stream:
        assert sorted([*stream.welcome.running, *await held_indexes(stream)]) == [0, 1]
        late, fine = await stream.collect(2)
        assert late.stdout == b"late\n"
        await stream.ack(late.result_id)
    async with working(rig) as stream:
        assert stream.welcome.held_results == 1
        (left,) = await stream.collect(1)
        assert left.result_id == fine.result_id
        await stream.ack(left.result_id)
    async with working(rig) as stream:
        assert (stream.welcome.held_results, list(stream.welcome.running)) == (0, [])


async def held_indexes(stream: Stream) -> list[int]:
    """The indexes of the results that the node held when the stream began."""
    await stream.collect(stream.welcome.held_results)
    return [index for index in stream.results if index not in stream.welcome.running]


async def test_results_survive_a_restart_of_the_agent(rig: Rig) -> None:
    async with working(rig) as stream:
        await stream.lease(*[[b"echo", b"%d" % number] for number in range(20)])
        await stream.collect(20)
    await rig.agent.stop_now()
    rig.agent = Agent(rig.config, rig.memory)
    await rig.agent.start()
    async with working(rig) as stream:
        assert stream.welcome.held_results == 20
        results = await stream.collect(20)
        assert [result.stdout for result in results] == [b"%d\n" % number for number in range(20)]


async def test_the_first_beat_follows_what_was_held(rig: Rig) -> None:
    async with working(rig) as stream:
        await stream.lease(*[[b"true"]] * 5)
        await stream.collect(5)
    async with working(rig) as stream:
        while not stream.beats:
            await stream.step()
        assert len(stream.results) == 5
        assert list(stream.beats[0].running) == []


async def test_items_are_called_off_by_index_those_that_wait_or_all(rig: Rig) -> None:
    async with working(rig) as stream:
        await stream.lease(*[[b"sleep", b"30"]] * 5)
        await stream.send(cancel=pb.WorkRequest.Cancel(indexes=[1]))
        (gone,) = await stream.collect(1)
        assert (gone.index, gone.exit.ending) == (1, pb.CANCELLED)
        await stream.send(cancel=pb.WorkRequest.Cancel())
        await stream.collect(3)
        assert sorted(stream.results) == [1, 3, 4]
        await stream.send(cancel=pb.WorkRequest.Cancel(all=True))
        results = await stream.collect(5)
    assert {result.exit.ending for result in results} == {pb.CANCELLED}


async def test_a_deadline_of_the_lease_ends_the_item(rig: Rig) -> None:
    async with working(rig) as stream:
        item = pb.Item(index=0, attempt=1, lease=1, argv=[b"sleep", b"30"])
        await stream.send(lease=pb.WorkRequest.Lease(items=[item], deadline_s=0.2))
        (result,) = await stream.collect(1)
    assert result.exit.ending == pb.DEADLINE


async def test_a_command_that_is_not_there_says_so(rig: Rig) -> None:
    async with working(rig) as stream:
        await stream.lease([b"no-such-program"])
        (result,) = await stream.collect(1)
    assert result.exit.ending == pb.SPAWN_FAILED
    assert "no-such-program: command not found" in result.exit.error


async def test_long_output_is_held_and_fetched_in_chunks(rig: Rig) -> None:
    async with working(rig) as stream:
        await stream.lease([b"sh", b"-c", b"head -c 1000000 /dev/zero | tr '\\0' x"], [b"true"])
        long, _ = await stream.collect(2)
        assert long.output_held
        assert len(long.stdout) == INLINE_BYTES
        assert await stream.fetch(long, b"stdout") == b"x" * 1_000_000
        await stream.ack(long.result_id)
        await until(lambda: not list(rig.config.work_dir.rglob("stdout")), "the held output goes")


async def test_output_beyond_the_limit_is_cut_unless_it_is_to_be_kept_whole(rig: Rig) -> None:
    argv = [b"sh", b"-c", b"head -c 1000000 /dev/zero"]
    async with working(rig, stdout_limit_bytes=50_000) as stream:
        await stream.lease(argv)
        (cut,) = await stream.collect(1)
        assert (cut.exit.stdout_cut, cut.exit.stdout_bytes) == (True, 1_000_000)
        assert len(await stream.fetch(cut, b"stdout")) == 50_000
    async with working(rig, run_id="run-2", stdout_limit_bytes=50_000, keep_whole_output=True) as stream:
        await stream.lease(argv)
        (whole,) = await stream.collect(1)
        await stream.ack(whole.result_id)
        await stream.send(bye=pb.WorkRequest.Bye())
    (kept,) = (rig.config.work_dir / "ada" / "outputs" / "run-2").rglob("stdout")
    assert kept.stat().st_size == 1_000_000


async def test_files_come_back_small_ones_with_the_result_and_large_ones_in_chunks(rig: Rig) -> None:
    large = os.urandom(returned.INLINE_BYTES * 3)
    async with working(rig, cwd=b"", isolate=True, return_globs=["*.out"]) as stream:
        files = [pb.SentFile(path=b"in/data", data=large, mode=0o644)]
        script = b'echo small > "$GAXX_ITEM.out"; cp in/data large.out'
        await stream.lease([b"sh", b"-c", script], value=b"it em", files=files)
        (result,) = await stream.collect(1)
        assert list(result.file_errors) == []
        big, small = sorted(result.files, key=lambda file: -file.size_bytes)
        assert (small.path, small.inline_data) == (b"it em.out", b"small\n")
        assert await stream.fetch(result, b"file:large.out") == large
        assert big.sha256 == hashlib.sha256(large).hexdigest()
        await stream.ack(result.result_id)
    runs = rig.config.work_dir / "ada" / "runs" / "run-1"
    await until(lambda: not list(runs.glob("0.*")), "the item's folder goes")


async def test_a_missing_file_is_said_with_the_result(rig: Rig) -> None:
    async with working(rig) as stream:
        await stream.lease([b"true"], return_globs=[b"nothing-*.png"])
        (result,) = await stream.collect(1)
    assert list(result.file_errors) == ["nothing-*.png: no such file"]


async def test_what_the_command_needs_lies_in_the_runs_folder_and_goes_with_the_run(rig: Rig) -> None:
    script = pb.SentFile(path=b"bin/hello", data=b"#!/bin/sh\necho hello $1\n", mode=0o755)
    async with working(rig, cwd=b"", files=[script]) as stream:
        await stream.lease([b"bin/hello", b"there"])
        (result,) = await stream.collect(1)
        assert result.stdout == b"hello there\n"
        await stream.send(bye=pb.WorkRequest.Bye())
    await until(lambda: not (rig.config.work_dir / "ada" / "runs" / "run-1").exists(), "the run's folder goes")


@pytest.mark.parametrize("path", [b"../out", b"/etc/cron.d/x", b""])
async def test_a_sent_file_that_leads_out_is_refused(rig: Rig, path: bytes) -> None:
    async with rig.open() as channel:
        stream = Stream(channel, cwd=b"", files=[pb.SentFile(path=path, data=b"x", mode=0o644)])
        assert "leads out of the run's folder" in (await stream.refusal())[1]
    assert not (rig.config.work_dir / "ada" / "runs" / "out").exists()


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", "x" * 65, ".held"])
async def test_a_run_whose_name_is_a_path_is_refused(rig: Rig, run_id: str) -> None:
    async with rig.open() as channel:
        assert "no name for a run" in (await Stream(channel, run_id=run_id).refusal())[1]


async def test_a_second_controller_of_the_run_takes_over_and_the_first_is_let_go(rig: Rig) -> None:
    async with working(rig) as first:
        await first.lease([b"sleep", b"0.3"])
        async with working(rig) as second:
            assert list(second.welcome.running) == [0]
            assert await asyncio.wait_for(_ended(first), PATIENCE_S)
            (result,) = await second.collect(1)
            assert result.exit.ending == pb.EXITED


async def _ended(stream: Stream) -> bool:
    while isinstance(await stream.call.read(), pb.WorkEvent):
        pass
    return True


async def test_when_the_runner_dies_its_items_come_back_as_lost_and_the_next_ones_run(rig: Rig) -> None:
    async with working(rig) as stream:
        await stream.lease(*([b"sleep", b"30"] for _ in range(3)))
        # What has not reached the runner yet would wait for the next one.
        await until(lambda: rig.agent.node.runner.running == 3, "the runner to have all three")
        pid = rig.agent.node.runner.runner_pid
        os.kill(pid, signal.SIGKILL)
        lost = await stream.collect(3)
        assert {result.exit.ending for result in lost} == {pb.RUNNER_LOST}
        await until(lambda: not is_running(pid), "the killed runner to be gone")
        await stream.lease([b"echo", b"again"], first=3)
        assert (await stream.collect(4))[3].stdout == b"again\n"


async def test_a_draining_node_gives_back_what_has_not_started_and_finishes_the_rest(rig: Rig) -> None:
    async with working(rig) as stream:
        await stream.lease(*[[b"sleep", b"0.5"]] * 6)
        await until(lambda: rig.agent.node.activity.running_items == 6, "the lease to arrive")
        drained = asyncio.create_task(rig.agent.drain(10))
        results = await stream.collect(6)
        await drained
    endings = [result.exit.ending for result in results]
    assert endings.count(pb.EXITED) >= 2
    assert endings.count(pb.CANCELLED) >= 2
    assert set(endings) == {pb.EXITED, pb.CANCELLED}
    assert any(beat.draining for beat in stream.beats) or results


async def test_observers_get_no_items_executed(rig: Rig) -> None:
    async with rig.open(rig.identities["oscar"]) as channel:
        assert (await Stream(channel).refusal())[0] is grpc.StatusCode.PERMISSION_DENIED
