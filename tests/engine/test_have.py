"""Which source wins, and what a person reads when none does."""

import fcntl
import pathlib
import subprocess
import sys

import pytest

from tests.waiting import until
from tools.engine import __main__ as engine
from tools.engine import build
from tools.engine.errors import EngineError

ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.fixture
def cache(own_home: pathlib.Path) -> pathlib.Path:
    folder = own_home / ".cache" / "gaxx" / "engine"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def built(cache: pathlib.Path) -> pathlib.Path:
    """The engine that an earlier set-up has built, of which only the version can be asked."""
    binary = build.folder(cache) / "pulumi"
    binary.parent.mkdir()
    for name in ("pulumi", "pulumi-language-python-exec", "pulumi-resource-pulumi-python"):
        binary.with_name(name).write_text(f"#!/bin/sh\necho v{build.pinned_version()}\n")
        binary.with_name(name).chmod(0o755)
    return binary


@pytest.fixture
def venv(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / ".venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    return folder


def test_what_an_earlier_set_up_built_is_had_before_the_network_is_asked(
    built: pathlib.Path, venv: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    found = engine.have(venv, ("path", "download", "build"))
    assert (found.source, found.binary) == ("build", built)


def test_an_installed_pulumi_wins_over_a_built_one(
    built: pathlib.Path, venv: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "installed"
    installed.mkdir()
    for name in ("pulumi", "pulumi-language-python"):
        (installed / name).write_text("#!/bin/sh\necho v3.260.0\n")
        (installed / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{installed}:/usr/bin:/bin")
    found = engine.have(venv, ("path", "download", "build"))
    assert (found.source, found.version) == ("path", "3.260.0")
    assert built.exists()


def test_a_broken_build_in_the_cache_is_named_and_the_next_source_is_asked(
    built: pathlib.Path, venv: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    built.write_text("#!/bin/sh\nexit 1\n")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(build, "SPACE_BYTES", 1 << 62)
    with pytest.raises(EngineError):
        engine.have(venv, ("path", "build"))
    lines = capsys.readouterr().err.splitlines()
    assert f"gaxx: engine: build: {built} does not say its version: exit code 1" in lines
    assert any("GiB free, and a build takes" in line for line in lines)


@pytest.mark.usefixtures("cache")
def test_when_no_source_has_one_each_says_why_in_a_line_and_the_last_line_says_what_to_do(
    venv: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(build, "SPACE_BYTES", 1 << 62)
    assert engine.main(["--venv", str(venv), "--source", "path", "--source", "build"]) == 1
    path, built, last = capsys.readouterr().err.splitlines()
    assert path == "gaxx: engine: path: no pulumi on PATH"
    assert built.startswith("gaxx: engine: build: ")
    assert last.startswith("gaxx: no Pulumi engine from path or build; install pulumi 3.200 or newer")


def test_two_set_ups_at_once_take_turns(cache: pathlib.Path, built: pathlib.Path, venv: pathlib.Path) -> None:
    argv = (sys.executable, "-m", "tools.engine", "--venv", str(venv), "--source", "build")
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE, text=True) as waiting:
            # It has opened the lock and is waiting for it, as the kernel's table of locks shows.
            until(lambda: f"-> FLOCK  ADVISORY  WRITE {waiting.pid} " in pathlib.Path("/proc/locks").read_text())
            assert not (venv / "bin" / "pulumi").exists()
            fcntl.flock(lock, fcntl.LOCK_UN)
            _, words = waiting.communicate(timeout=30)
    assert waiting.returncode == 0, words
    assert (venv / "bin" / "pulumi").samefile(built)
