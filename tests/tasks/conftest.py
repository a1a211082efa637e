"""One standing stack of three nodes for all tests that do not break it."""

import os
import pathlib
from collections.abc import Iterator

import pytest

from tests.conftest import GUARDED, GUARDED_PREFIXES
from tests.tasks.fleet import Fleet, fleet


@pytest.fixture(scope="session")
def standing_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three nodes with agents and sshds, started once; the tests that use it break nothing."""
    base = tmp_path_factory.mktemp("fleet")
    with pytest.MonkeyPatch.context() as patch:
        # The environment of the single tests does not exist yet: this one is as bare.
        for name in list(os.environ):
            if name.startswith(GUARDED_PREFIXES) or name in GUARDED:
                patch.delenv(name)
        home = base / "home"
        runtime = base / "run"
        home.mkdir()
        runtime.mkdir(mode=0o700)
        for variable, folder in (
            ("HOME", home),
            ("XDG_CACHE_HOME", home / ".cache"),
            ("XDG_CONFIG_HOME", home / ".config"),
            ("XDG_STATE_HOME", home / ".local/state"),
            ("XDG_RUNTIME_DIR", runtime),
        ):
            patch.setenv(variable, str(folder))
        with fleet(base, 3, sshd=True) as made:
            patch.undo()
            yield made


@pytest.fixture
def three(standing_fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """The standing stack, seen from its own home, with its inventory as it was made."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, standing_fleet.environ[name])
    before = standing_fleet.known
    yield standing_fleet
    standing_fleet.rewrite(before)


@pytest.fixture
def project(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A project with nothing in it but its name, and the current folder."""
    root = tmp_path / "project"
    (root / "stacks").mkdir(parents=True)
    (root / "Pulumi.yaml").write_text("name: gaxx\nruntime: yaml\nstackConfigDir: stacks\n")
    monkeypatch.chdir(root)
    return root
