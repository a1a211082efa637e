"""Vultr's own Go client, which we did not write, finds the rehearsal to be Vultr."""

import os
import pathlib
import subprocess

import pytest

from tests.clouds.service import served
from tools.engine import golang

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(300)]

SOURCES = pathlib.Path(__file__).parent / "govultr"
# The person's own: what Go has downloaded and compiled once is used again.
_HOME = pathlib.Path.home()
_CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", _HOME / ".cache"))


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The client, built from the modules that go.sum pins."""
    scratch = _CACHE / "gaxx" / "tests"
    go = golang.toolchain(golang.wanted_by((SOURCES / "go.mod").read_text()), scratch, None)
    path = tmp_path_factory.mktemp("govultr") / "govultr"
    environment = {**os.environ, "HOME": str(_HOME), "XDG_CACHE_HOME": str(_CACHE), "GOFLAGS": "-mod=readonly"}
    done = subprocess.run(
        (str(go), "build", "-o", str(path), "."), cwd=SOURCES, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return path


def test_govultr_lists_creates_changes_and_deletes(program: pathlib.Path) -> None:
    with served() as rehearsal:
        done = subprocess.run(
            (str(program),), env=dict(rehearsal.environment()), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.splitlines() == [
            "account", "plans, regions, systems", "firewall", "network", "key", "machine", "pages", "gone", "stranger",
        ]  # fmt: skip
        assert not any(rehearsal.store.left().values())
