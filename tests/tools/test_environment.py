"""How the virtual environment is made: by which uv, of which Python."""

import pathlib
import sys

import pytest

from tools import environment


def script(path: pathlib.Path, text: str) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def clone(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "clone").mkdir()
    return tmp_path / "clone"


def uv(folder: pathlib.Path, version: str, sync: str = "true") -> pathlib.Path:
    """Stands where uv does and notes how it is called."""
    text = f'[ "$1" = --version ] && {{ echo "uv {version}"; exit; }}\necho "$@" > "{folder}/called"\n{sync}'
    return script(folder / "uv", text)


def test_a_uv_on_path_that_is_new_enough_is_used(clone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    uv(tmp_path / "bin", "0.13.9 (x86_64)")
    environment.sync(clone)
    called = (tmp_path / "bin" / "called").read_text()
    assert called.startswith("sync --frozen")
    assert "--python " in called


def test_an_environment_that_works_keeps_its_python(clone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    uv(tmp_path / "bin", "0.13.9")
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / ".venv" / "bin" / "python").symlink_to(sys.executable)
    environment.sync(clone)
    assert "--python " not in (tmp_path / "bin" / "called").read_text()


@pytest.mark.parametrize("python", ["exit 1", "echo 3 9"])
def test_an_environment_whose_python_is_broken_or_old_is_made_anew(
    clone: pathlib.Path, tmp_path: pathlib.Path, python: str
) -> None:
    uv(tmp_path / "bin", "0.13.9")
    script(clone / ".venv" / "bin" / "python", python)
    environment.sync(clone)
    assert not (clone / ".venv" / "bin" / "python").exists()
    assert "--python " in (tmp_path / "bin" / "called").read_text()


def test_a_sync_that_fails_is_one_line(clone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    uv(tmp_path / "bin", "0.13.9", sync="exit 2")
    with pytest.raises(environment.VenvError, match=r"^uv sync failed with exit code 2; its words are above$"):
        environment.sync(clone)


def test_the_uv_of_the_environment_wins_over_an_older_one_on_path(clone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    uv(tmp_path / "bin", "0.4.1")
    uv(clone / ".venv" / "bin", "0.13.9")
    (clone / ".venv" / "bin" / "python").symlink_to(sys.executable)
    environment.sync(clone)
    assert (clone / ".venv" / "bin" / "called").exists()


def test_a_new_environment_is_of_a_python_that_is_new_enough() -> None:
    assert environment._usable(pathlib.Path(environment.interpreter()))


def test_a_python_below_a_closed_folder_is_not_open_to_all(tmp_path: pathlib.Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    python = script(tmp_path / "closed" / "python", "true")
    assert not environment._open_to_all(str(python))
    assert environment._open_to_all("/bin/sh")
