"""How an engine is put into a virtual environment."""

import json
import pathlib
import sys

import pytest

from tools.engine import venv
from tools.engine.found import Engine


@pytest.fixture
def built(tmp_path: pathlib.Path) -> Engine:
    folder = tmp_path / "cache"
    folder.mkdir()
    for name in ("pulumi", "pulumi-language-python-exec", "pulumi-resource-pulumi-python"):
        (folder / name).write_text("#!/bin/sh\necho here\n")
        (folder / name).chmod(0o755)
    return Engine("build", "3.259.0", folder / "pulumi")


@pytest.fixture
def environment(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "clone" / ".venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    return folder


def test_an_engine_of_ours_brings_the_hosts_that_it_lacks(built: Engine, environment: pathlib.Path) -> None:
    venv.link(built, environment)
    names = {path.name for path in (environment / "bin").iterdir()}
    assert names == {"python", *venv.NAMES}
    assert not (environment / "bin" / "pulumi").is_symlink()
    assert (environment / "bin" / "pulumi").samefile(built.binary)


def test_an_installed_engine_is_linked_and_keeps_its_own_hosts(built: Engine, environment: pathlib.Path) -> None:
    venv.link(built, environment)
    venv.link(Engine("path", "3.270.0", built.binary), environment)
    assert {path.name for path in (environment / "bin").iterdir()} == {"python", "pulumi"}
    assert (environment / "bin" / "pulumi").readlink() == built.binary


@pytest.mark.parametrize("source", ["path", "download", "build"])
def test_the_note_says_which_engine_it_is(built: Engine, environment: pathlib.Path, source: str) -> None:
    engine = Engine(source, "3.259.0", built.binary)  # type: ignore[arg-type] # one of the three by parametrization
    venv.link(engine, environment)
    assert json.loads(venv.note(environment).read_text()) == {
        "source": source,
        "version": "3.259.0",
        "path": str(built.binary),
    }


def test_linking_again_changes_nothing(built: Engine, environment: pathlib.Path) -> None:
    venv.link(built, environment)
    before = {path: path.read_bytes() for path in environment.rglob("*") if path.is_file()}
    venv.link(built, environment)
    assert {path: path.read_bytes() for path in environment.rglob("*") if path.is_file()} == before


def test_a_file_system_without_hard_links_gets_a_copy(
    built: Engine, environment: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    venv.link(built, environment)
    assert (environment / "bin" / "pulumi").read_bytes() == built.binary.read_bytes()
    assert (environment / "bin" / "pulumi").stat().st_mode & 0o111


def test_the_launcher_works_from_a_clone_with_blanks_in_its_path(built: Engine, tmp_path: pathlib.Path) -> None:
    environment = tmp_path / "my 'own' clone" / ".venv"
    (environment / "bin").mkdir(parents=True)
    venv.link(built, environment)
    launcher = (environment / "bin" / "pulumi-language-python").read_text()
    assert launcher.startswith("#!/bin/sh\nexec '")
