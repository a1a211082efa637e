"""Pieces of local files: read once for all nodes, in bounded memory."""

import asyncio
import pathlib

import pytest

from agent.proto.agent_pb2 import PutRequest
from tasks.files.chunks import CHUNK_BYTES, Chunks
from tasks.files.local_files import Source, plan_put
from tasks.files.results import FileFault


def source(path: pathlib.Path, data: bytes) -> Source:
    path.write_bytes(data)
    [found] = plan_put([str(path)]).sources
    return found


async def test_nodes_that_keep_pace_share_what_is_read(tmp_path: pathlib.Path) -> None:
    big = source(tmp_path / "big", b"a" * CHUNK_BYTES + b"b" * 10)
    chunks = Chunks()
    (one, size), (two, _) = await asyncio.gather(chunks.request(big, 0), chunks.request(big, 0))
    assert one is two
    assert (size, PutRequest.FromString(one).data) == (CHUNK_BYTES, b"a" * CHUNK_BYTES)
    last, size = await chunks.request(big, CHUNK_BYTES)
    assert (size, PutRequest.FromString(last).data) == (10, b"b" * 10)


async def test_a_node_that_goes_on_in_the_middle_meets_the_others_at_the_next_piece(tmp_path: pathlib.Path) -> None:
    big = source(tmp_path / "big", bytes(2 * CHUNK_BYTES))
    assert (await Chunks().request(big, CHUNK_BYTES - 7))[1] == 7


async def test_no_more_is_kept_than_the_window(tmp_path: pathlib.Path) -> None:
    big = source(tmp_path / "big", bytes(8 * CHUNK_BYTES))
    chunks = Chunks(window_bytes=2 * CHUNK_BYTES)
    first, _ = await chunks.request(big, 0)
    for offset in range(CHUNK_BYTES, 8 * CHUNK_BYTES, CHUNK_BYTES):
        await chunks.request(big, offset)
        assert len(chunks._kept) <= 2
    again, _ = await chunks.request(big, 0)
    assert again == first
    assert again is not first, "who lags behind reads again"


async def test_a_file_that_became_shorter_is_said(tmp_path: pathlib.Path) -> None:
    big = source(tmp_path / "big", bytes(100))
    (tmp_path / "big").write_bytes(bytes(50))
    with pytest.raises(FileFault, match="became shorter"):
        await Chunks().request(big, 0)
    assert big.changed()
