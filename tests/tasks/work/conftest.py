"""A stack of three nodes that tests may break: what died is started again before the next test."""

import os
import pathlib
from collections.abc import Iterator

import pytest

from tests.conftest import GUARDED, GUARDED_PREFIXES
from tests.tasks.fleet import Fleet, fleet

HOMES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")


@pytest.fixture(scope="session")
def mortal_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The stack, started once."""
    base = tmp_path_factory.mktemp("mortal")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(GUARDED_PREFIXES) or name in GUARDED:
                patch.delenv(name)
        for name in HOMES:
            folder = base / "home" / name.lower()
            folder.mkdir(mode=0o700, parents=True)
            patch.setenv(name, str(folder))
        with fleet(base, 3) as made:
            patch.undo()
            yield made


@pytest.fixture
def nodes(mortal_fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Fleet:
    """The stack with all nodes alive, seen from its own home."""
    for name in HOMES:
        monkeypatch.setenv(name, mortal_fleet.environ[name])
    for machine in mortal_fleet.machines.values():
        assert machine.agent is not None
        if machine.agent.poll() is not None:
            machine.start_agent()
    monkeypatch.chdir(tmp_path)
    return mortal_fleet
