"""The fan-out is bounded, keeps order and loses nothing; the input spool feeds readers at their own pace."""

import asyncio
import os
import pathlib

import pytest

from tasks.fanout import fan_out
from tasks.run.stdin import Spool, offered


async def test_results_come_in_the_order_asked_and_each_is_told_once() -> None:
    gates = {number: asyncio.Event() for number in range(5)}
    told: list[int] = []

    async def work(number: int) -> int:
        if number < 4:
            await gates[number + 1].wait()
        gates[number].set()
        return number

    assert await fan_out(range(5), work, on_result=told.append) == [0, 1, 2, 3, 4]
    assert told == [4, 3, 2, 1, 0]


async def test_never_more_than_the_bound_at_once() -> None:
    running, most = 0, 0

    async def work(_: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await fan_out(range(50), work, fanout=7)
    assert most == 7


async def test_an_exception_out_of_a_listener_ends_everything() -> None:
    ended: list[int] = []

    async def work(number: int) -> int:
        try:
            if number:
                await asyncio.Event().wait()
        finally:
            ended.append(number)
        return number

    def closed(_: int) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await fan_out(range(3), work, on_result=closed)
    assert sorted(ended) == [0, 1, 2]


async def test_nothing_to_do_is_nothing_done() -> None:
    async def work(number: int) -> int:
        return number

    assert await fan_out([], work) == []


async def test_every_reader_gets_the_whole_input_whenever_it_begins() -> None:
    reading, writing = os.pipe()
    spool = Spool(reading)
    first = spool.chunks()
    os.write(writing, b"one ")
    assert await anext(first) == b"one "
    os.write(writing, b"two")
    os.close(writing)
    assert [chunk async for chunk in first] == [b"two"]
    assert b"".join([chunk async for chunk in spool.chunks()]) == b"one two"
    spool.close()
    os.close(reading)


async def test_an_input_that_cannot_be_read_is_an_error_for_every_reader(tmp_path: pathlib.Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    spool = Spool(folder)
    with pytest.raises(OSError, match="standard input"):
        [chunk async for chunk in spool.chunks()]
    spool.close()
    os.close(folder)


def test_only_pipes_sockets_and_filled_files_are_an_input(tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "full").write_text("x")
    expected = {os.devnull: False, str(tmp_path / "empty"): False, str(tmp_path / "full"): True}
    for path, is_input in expected.items():
        with open(path) as file:  # noqa: PTH123 - /dev/null among them
            assert offered(file.fileno()) is is_input
    reading, writing = os.pipe()
    assert offered(reading)
    os.close(reading)
    os.close(writing)
    assert not offered(reading)
