"""Which Go builds the engine."""

import pathlib

import pytest

from tools.engine import build, golang
from tools.engine.errors import EngineError

WANTED = (1, 25, 11)


def go_that_says(folder: pathlib.Path, version: str) -> pathlib.Path:
    folder.mkdir(parents=True, exist_ok=True)
    go = folder / "go"
    go.write_text(f"#!/bin/sh\necho '{version}'\n")
    go.chmod(0o755)
    return go


def uv_that_brings(folder: pathlib.Path, version: str) -> str:
    """Stands where uv does: makes the environment's folder, and `go` when asked to install."""
    folder.mkdir(parents=True, exist_ok=True)
    uv = folder / "uv"
    uv.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = venv ]; then for last; do :; done; mkdir -p "$last/bin"; exit; fi\n'
        'for word; do case "$word" in */bin/python) bin=${word%/python};; esac; done\n'
        f'printf \'#!/bin/sh\\necho {version}\\n\' > "$bin/go"; chmod +x "$bin/go"\n'
    )
    uv.chmod(0o755)
    return str(uv)


def test_the_machines_own_go_is_used_when_it_is_new_enough(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = go_that_says(tmp_path / "bin", "go1.26.0")
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")
    assert golang.toolchain(WANTED, tmp_path / "scratch", None) == go


@pytest.mark.parametrize("version", ["go1.19.8", "go1.25.10"])
def test_an_older_go_gives_way_to_the_packaged_one(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    go = go_that_says(tmp_path / "bin", version)
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")
    found = golang.toolchain(WANTED, tmp_path / "scratch", uv_that_brings(tmp_path / "uv", "go1.26.6"))
    assert found == tmp_path / "scratch" / "toolchain" / "bin" / "go"


def test_when_neither_can_be_had_one_line_says_both(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = go_that_says(tmp_path / "bin", "go1.19.8")
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho 'no route to host' >&2\nexit 2\n")
    uv.chmod(0o755)
    with pytest.raises(EngineError) as caught:
        golang.toolchain(WANTED, tmp_path / "scratch", str(uv))
    assert "1.19.8, 1.25.11 or newer is needed" in str(caught.value)
    assert "could not be installed: no route to host" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_packaged_go_is_new_enough_for_the_modules_in_the_tree() -> None:
    packaged = tuple(int(part) for part in golang.PACKAGE.partition("==")[2].split("."))
    assert packaged >= golang.wanted_by((build.SOURCES / "go.mod").read_text())


def test_a_go_mod_without_a_go_line_is_an_error() -> None:
    with pytest.raises(EngineError, match="no go line"):
        golang.wanted_by("module x\n")
