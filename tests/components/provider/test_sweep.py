"""What is left of a stack that no state knows of goes with the stack."""

import asyncio
import pathlib

import pytest

from components import places
from components.provider.context import Context, EngineLog
from components.provider.sweep import Sweep

STATE = {"stackKey": "0123abcd", "backendId": "b1"}


@pytest.fixture
def context(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("GAXX_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "local-state"))
    return Context("urn:pulumi:demo::gaxx::gaxx:index:Sweep::sweep", EngineLog(""), "")


def test_a_cached_inventory_and_what_belongs_to_it_are_removed_and_another_stacks_stays(context: Context) -> None:
    mine, other = (places.inventory_cache("b1", "gaxx", stack) for stack in ("demo", "other"))
    mine.parent.mkdir(parents=True)
    for path in (mine, other, places.known_hosts(mine), mine.parent / f".{mine.name}-x1y2"):
        path.write_text("{}")

    asyncio.run(Sweep().delete(context, "0123abcd", STATE))

    assert list(mine.parent.iterdir()) == [other]


def test_a_sweep_where_nothing_is_left_passes(context: Context) -> None:
    asyncio.run(Sweep().delete(context, "0123abcd", STATE))
