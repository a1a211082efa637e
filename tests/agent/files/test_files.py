"""Files onto a node and back: whole or not at all, resumed, never through a link, never out of bounds."""

import asyncio
import contextlib
import hashlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import pytest

from agent.client import AgentChannel
from agent.files.stored import NoRoom, Store
from agent.files.territory import PathRefused, Territory
from agent.proto.agent_pb2 import GetReply, GetRequest, PutReply, PutRequest
from tests.agent.rig import Rig, until

pytestmark = pytest.mark.engine

CHUNK = 256 * 1024


def begin(path: str, data: bytes, *, mode: int = 0o640, sha256: str = "") -> PutRequest:
    digest = sha256 or hashlib.sha256(data).hexdigest()
    return PutRequest(begin=PutRequest.Begin(path=path, size_bytes=len(data), sha256=digest, mode=mode))


async def put(channel: AgentChannel, path: str, data: bytes, **more: object) -> tuple[int, bool]:
    """Store a file; return how much the node had already, and whether it is stored."""
    call = channel.stub.Put(metadata=channel.metadata)
    await call.write(begin(path, data, **more))  # type: ignore[arg-type]
    reply: PutReply = await call.read()
    if not isinstance(reply, PutReply):
        await call  # raises what the call ended with
    for at in range(reply.have_bytes, len(data), CHUNK):
        await call.write(PutRequest(data=data[at : at + CHUNK]))
    await call.write(PutRequest(end=True))
    await call.done_writing()
    last = await call.read()
    if not isinstance(last, PutReply):
        async for _ in call:
            pass
    return reply.have_bytes, last.stored


@dataclass
class Got:
    """One file that came back."""

    header: GetReply.Header
    data: bytes = b""
    trailer: GetReply.Trailer = field(default_factory=GetReply.Trailer)


async def get(channel: AgentChannel, *globs: str, base: bytes = b"") -> dict[str, Got]:
    files: dict[str, Got] = {}
    current: Got | None = None
    async for reply in channel.stub.Get(GetRequest(globs=globs, base=base), metadata=channel.metadata):
        kind = reply.WhichOneof("reply")
        if kind == "header":
            current = files[reply.header.path] = Got(reply.header)
        elif current is not None and kind == "data":
            current.data += reply.data
        elif current is not None:
            current.trailer = reply.trailer
            if not current.header.is_directory and not reply.trailer.error:
                assert reply.trailer.sha256 == hashlib.sha256(current.data).hexdigest()
    return files


@pytest.fixture
def home(rig: Rig) -> Path:
    folder = rig.folder / "work" / "ada"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def test_a_file_arrives_whole_with_its_mode_in_folders_that_are_made(channel: AgentChannel, home: Path) -> None:
    data = os.urandom(3_000_000)
    assert await put(channel, "a/b/c.bin", data, mode=0o751) == (0, True)
    stored = home / "a/b/c.bin"
    assert stored.read_bytes() == data
    assert stored.stat().st_mode & 0o7777 == 0o751
    assert list(stored.parent.iterdir()) == [stored]


@pytest.mark.parametrize("data", [b"", b"x"])
async def test_tiny_files_too(channel: AgentChannel, home: Path, data: bytes) -> None:
    assert await put(channel, "tiny", data) == (0, True)
    assert (home / "tiny").read_bytes() == data


async def test_a_set_user_id_bit_is_not_taken_over(channel: AgentChannel, home: Path) -> None:
    await put(channel, "tool", b"x", mode=0o4755)
    assert (home / "tool").stat().st_mode & 0o7777 == 0o755


async def test_a_file_that_is_there_already_is_not_sent_again(channel: AgentChannel, home: Path) -> None:
    data = os.urandom(1_000_000)
    await put(channel, "one", data, mode=0o600)
    assert await put(channel, "one", data, mode=0o644) == (len(data), True)
    assert (home / "one").stat().st_mode & 0o777 == 0o644
    # Nor when the same content is wanted elsewhere.
    assert await put(channel, "two", data) == (len(data), True)
    assert (home / "two").read_bytes() == data
    # But a file that has changed since is no source.
    (home / "one").write_bytes(b"y" * len(data))
    (home / "two").unlink()
    assert await put(channel, "three", data) == (0, True)
    assert (home / "three").read_bytes() == data


async def test_an_interrupted_file_is_resumed_and_never_seen_half(channel: AgentChannel, home: Path, rig: Rig) -> None:
    data = os.urandom(2_000_000)
    call = channel.stub.Put(metadata=channel.metadata)
    await call.write(begin("big", data))
    await call.read()
    await call.write(PutRequest(data=data[:1_000_000]))
    part = rig.folder / "work" / ".cas" / f"{hashlib.sha256(data).hexdigest()}.part"
    await until(lambda: part.exists() and part.stat().st_size == 1_000_000, "the first half to be written")
    call.cancel()
    await until(lambda: rig.agent.node.activity.sessions == 0, "the call to end")
    assert not (home / "big").exists()
    assert await put(channel, "big", data) == (1_000_000, True)
    assert (home / "big").read_bytes() == data
    assert not part.exists()


async def test_two_at_once_with_the_same_content_do_not_disturb_each_other(channel: AgentChannel, home: Path) -> None:
    data = os.urandom(2_000_000)
    await asyncio.gather(*(put(channel, f"copy-{number}", data) for number in range(4)))
    for number in range(4):
        assert (home / f"copy-{number}").read_bytes() == data


async def test_what_is_not_what_was_announced_is_thrown_away(channel: AgentChannel, home: Path, rig: Rig) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await put(channel, "evil", b"x" * 100, sha256=hashlib.sha256(b"y" * 100).hexdigest())
    assert refused.value.code() is grpc.StatusCode.DATA_LOSS
    assert not (home / "evil").exists()
    assert not list((rig.folder / "work" / ".cas").glob("*.part"))


@pytest.mark.parametrize(
    "path",
    ["../evil", "a/../../evil", "", "/", ".", "a\0b", "{work}/.cas/evil", "{work}/.held", "{keys}/key", "{run}/x"],
)
async def test_paths_out_of_bounds_are_refused(channel: AgentChannel, rig: Rig, path: str) -> None:
    path = path.format(work=rig.config.work_dir, keys=rig.folder, run=rig.config.run_dir)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await put(channel, path, b"evil")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await get(channel, path)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_links_are_neither_written_through_nor_read_through(
    channel: AgentChannel, home: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (home / "folder").symlink_to(outside)
    (home / "file").symlink_to(outside / "secret")
    for path in ("folder/new", "file"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await put(channel, path, b"evil")
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "is a symbolic link, which is not followed" in (refused.value.details() or "")
    assert sorted(entry.name for entry in outside.iterdir()) == ["secret"]
    assert (outside / "secret").read_text() == "secret"
    files = await get(channel, "*", "folder/*")
    assert {path: got.trailer.error for path, got in files.items()} == {
        "file": "is a symbolic link, which is not followed",
        "folder": "is a symbolic link, which is not followed",
    }
    assert not any(got.data for got in files.values())


def replace_by_link(folder: Path, target: Path) -> None:
    folder.rmdir()
    folder.symlink_to(target)


async def test_a_work_folder_that_became_a_link_is_refused(channel: AgentChannel, home: Path, tmp_path: Path) -> None:
    replace_by_link(home, tmp_path)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await put(channel, "x", b"evil")
    assert "symbolic link" in (refused.value.details() or "")
    assert not (tmp_path / "x").exists()


async def test_a_pipe_or_a_folder_in_the_place_of_a_file_is_refused(channel: AgentChannel, home: Path) -> None:
    os.mkfifo(home / "pipe")
    (home / "folder").mkdir()
    for path in ("pipe", "folder"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await asyncio.wait_for(put(channel, path, b"x"), 10)
        assert "is no regular file" in (refused.value.details() or "")


async def test_an_absolute_path_elsewhere_is_allowed(channel: AgentChannel, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "file"
    assert await put(channel, str(target), b"data") == (0, True)
    assert target.read_bytes() == b"data"
    files = await get(channel, f"{tmp_path}/else*/f*")
    assert [got.data for got in files.values()] == [b"data"]


async def test_globs_folders_and_hidden_files_come_back_with_their_modes(channel: AgentChannel, home: Path) -> None:
    for path, mode in (("out/a.png", 0o600), ("out/b.png", 0o644), ("out/c.txt", 0o755), ("out/deep/d.png", 0o640)):
        file = home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
        file.chmod(mode)
    (home / "out/.hidden").write_text("h")
    (home / "out/empty").mkdir()
    assert {path: got.header.mode for path, got in (await get(channel, "out/*.png")).items()} == {
        "out/a.png": 0o600,
        "out/b.png": 0o644,
    }
    assert sorted(await get(channel, "**/*.png")) == ["out/a.png", "out/b.png", "out/deep/d.png"]
    tree = await get(channel, "out")
    assert [path for path, got in tree.items() if got.header.is_directory] == ["out", "out/deep", "out/empty"]
    assert tree["out/.hidden"].data == b"h"
    assert sorted(await get(channel, "*.png", base=b"out")) == ["a.png", "b.png"]
    assert sorted(await get(channel, "out/a.png", "out/*.png")) == ["out/a.png", "out/b.png"]
    assert await get(channel, "out/*.none") == {}
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await get(channel, "out/none.png")
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert refused.value.details() == "out/none.png: No such file or directory"


async def test_a_big_file_comes_back_in_chunks(channel: AgentChannel, home: Path) -> None:
    data = os.urandom(5_000_000)
    (home / "big").write_bytes(data)
    assert (await get(channel, "big"))["big"].data == data


async def test_leaving_a_get_early_closes_what_it_had_open(channel: AgentChannel, home: Path, rig: Rig) -> None:
    (home / "big").write_bytes(bytes(50_000_000))
    call = channel.stub.Get(GetRequest(globs=["big"]), metadata=channel.metadata)
    await call.read()
    call.cancel()
    await until(lambda: rig.agent.node.activity.sessions == 0, "the call to end")
    assert open_below(home) == []


def open_below(folder: Path) -> list[str]:
    """What this process has open below a folder."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(str(entry.readlink()))
    return [link for link in links if link.startswith(str(folder))]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("announced", [4_000_000, 900_000])
async def test_a_full_disk_is_one_clear_error_and_leaves_nothing(small_disk: Path, announced: int) -> None:
    work = small_disk / "work"
    (work / "ada").mkdir(parents=True)
    store = Store(work / ".cas", Territory(work, []))
    data = os.urandom(announced)
    digest = hashlib.sha256(data).hexdigest()
    incoming = store.begin(work / "ada", "big", digest, len(data), 0o644)

    def fill() -> None:
        incoming.prepare()
        # Somebody else takes the room after it was asked for.
        (small_disk / "other").write_bytes(bytes(500_000))
        incoming.write(data)

    with pytest.raises(NoRoom, match=f"no space left on the node: big has {announced} bytes, [0-9]+ are free"):
        fill()
    assert [path for path in work.rglob("*") if path.is_file()] == []


async def test_a_digest_that_is_none_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / ".cas", Territory(tmp_path, []))
    with pytest.raises(PathRefused, match="is no sha256"):
        store.begin(tmp_path / "ada", "x", "../../evil", 1, 0o644)
