"""The profile socket: for the agent's user alone, and it shows what the agent does."""

import asyncio
import os
import stat

import pytest

from agent.profile import SOCKET_NAME
from tests.agent.rig import Rig

pytestmark = pytest.mark.engine


async def _get(rig: Rig, target: str) -> tuple[bytes, bytes]:
    folder = os.open(rig.config.run_dir, os.O_PATH)
    try:
        reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/{SOCKET_NAME}")
    finally:
        os.close(folder)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


async def test_only_its_user_may_open_it(rig: Rig) -> None:
    mode = (rig.config.run_dir / SOCKET_NAME).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


async def test_a_profile_is_folded_stacks(rig: Rig) -> None:
    head, body = await _get(rig, "/folded?seconds=0.2")
    assert head.startswith(b"HTTP/1.1 200 OK")
    counts = {stack: int(count) for stack, _, count in (line.rpartition(b" ") for line in body.splitlines())}
    assert any(stack.startswith(b"MainThread;") and count > 0 for stack, count in counts.items())


async def test_other_paths_and_times_are_refused(rig: Rig) -> None:
    assert (await _get(rig, "/"))[0].startswith(b"HTTP/1.1 404")
    for seconds in ("x", "-1", "0", "61", "nan"):
        assert (await _get(rig, f"/folded?seconds={seconds}"))[0].startswith(b"HTTP/1.1 400")


async def test_it_is_gone_when_the_agent_has_stopped(rig: Rig) -> None:
    await rig.agent.stop_now()
    assert not (rig.config.run_dir / SOCKET_NAME).exists()
