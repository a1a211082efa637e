"""One standing stack of three nodes for all tests that do not break it."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

import pytest

from tests.conftest import GUARDED, GUARDED_PREFIXES
from tests.tasks.fleet import Fleet, fleet


@contextlib.contextmanager
def person(base: pathlib.Path) -> Iterator[pytest.MonkeyPatch]:
    """Somebody whose home lies in `base`, for stacks that outlive one test; undo it once the stack is up."""
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
        yield patch


def enter(made: Fleet, patch: pytest.MonkeyPatch) -> None:
    """Be who has made the stack."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        patch.setenv(name, made.environ[name])


@pytest.fixture(scope="session")
def standing_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three nodes with agents and sshds, started once; the tests that use it break nothing."""
    base = tmp_path_factory.mktemp("fleet")
    with person(base) as patch, fleet(base, 3, sshd=True) as made:
        patch.undo()
        yield made


@pytest.fixture
def three(standing_fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """The standing stack, seen from its own home, with its inventory as it was made."""
    enter(standing_fleet, monkeypatch)
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
