"""Fixtures of the agent's tests: a rig that is started and, whatever happens, stopped."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.client import AgentChannel
from tests.agent.rig import Rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path / "node")
    root = logging.getLogger()
    level = root.level
    root.addHandler(made.memory)
    root.setLevel(logging.INFO)
    try:
        await made.agent.start()
        yield made
    finally:
        await made.agent.stop_now()
        root.removeHandler(made.memory)
        root.setLevel(level)


@pytest.fixture
async def channel(rig: Rig) -> AsyncIterator[AgentChannel]:
    async with rig.open() as opened:
        yield opened
