"""Engines that a person has installed."""

import pathlib

import pytest

from tools.engine import path
from tools.engine.errors import EngineError


def install(folder: pathlib.Path, *, says: str = "v3.250.1", host: bool = True, exit_code: int = 0) -> pathlib.Path:
    """A `pulumi` of which only the version can be asked."""
    folder.mkdir(parents=True)
    names = ("pulumi", "pulumi-language-python") if host else ("pulumi",)
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\necho '{says}'\nexit {exit_code}\n")
        (folder / name).chmod(0o755)
    return folder / "pulumi"


def test_a_new_enough_pulumi_with_its_python_host_is_taken(tmp_path: pathlib.Path) -> None:
    binary = install(tmp_path / "bin")
    found = path.find(f"/nowhere:{binary.parent}")
    assert (found.source, found.version, found.binary) == ("path", "3.250.1", binary)


def test_the_first_usable_one_wins_over_an_older_one_before_it(tmp_path: pathlib.Path) -> None:
    old = install(tmp_path / "old", says="v3.199.9")
    new = install(tmp_path / "new", says="v3.200.0")
    assert path.find(f"{old.parent}:{new.parent}").binary == new


@pytest.mark.parametrize(
    ("says", "exit_code", "words"),
    [
        ("v3.199.0", 0, "v3.199.0, and 3.200 or newer"),
        ("v2.999.0", 0, "v2.999.0, and 3.200 or newer of 3.x"),
        ("v4.0.0", 0, "v4.0.0, and 3.200 or newer of 3.x"),
        ("no such command", 0, "does not say its version: no such command"),
        ("broken library", 127, "does not say its version: broken library"),
    ],
)
def test_an_unusable_one_is_named_with_the_reason(
    tmp_path: pathlib.Path, says: str, exit_code: int, words: str
) -> None:
    binary = install(tmp_path / "bin", says=says, exit_code=exit_code)
    with pytest.raises(EngineError) as caught:
        path.find(str(binary.parent))
    assert words in str(caught.value)
    assert str(binary) in str(caught.value)


def test_a_pulumi_that_cannot_be_executed_is_an_error_of_one_line(tmp_path: pathlib.Path) -> None:
    binary = install(tmp_path / "bin")
    binary.write_bytes(b"\x7fELF, and then nothing")
    with pytest.raises(EngineError, match="does not run"):
        path.find(str(binary.parent))


def test_one_without_a_python_host_is_not_taken(tmp_path: pathlib.Path) -> None:
    binary = install(tmp_path / "bin", host=False)
    with pytest.raises(EngineError, match="has no pulumi-language-python beside it"):
        path.find(str(binary.parent))


def test_a_link_to_an_installation_finds_the_host_beside_the_real_file(tmp_path: pathlib.Path) -> None:
    binary = install(tmp_path / "opt" / "pulumi" / "bin")
    (tmp_path / "bin").mkdir()
    link = tmp_path / "bin" / "pulumi"
    link.symlink_to(binary)
    assert path.find(str(link.parent)).binary == link


def test_an_engine_that_a_set_up_of_ours_put_into_a_venv_is_passed_over(tmp_path: pathlib.Path) -> None:
    binary = install(tmp_path / "venv" / "bin")
    note = tmp_path / "venv" / "share" / "gaxx" / "engine.json"
    note.parent.mkdir(parents=True)
    note.write_text("{}")
    with pytest.raises(EngineError, match="no pulumi on PATH"):
        path.find(str(binary.parent))


def test_asking_for_the_version_leaves_nothing_in_the_home(tmp_path: pathlib.Path, own_home: pathlib.Path) -> None:
    binary = install(tmp_path / "bin")
    binary.write_text('#!/bin/sh\nmkdir -p "${PULUMI_HOME:-$HOME/.pulumi}/plugins"\necho v3.250.1\n')
    path.find(str(binary.parent))
    assert list(own_home.rglob("plugins")) == []
