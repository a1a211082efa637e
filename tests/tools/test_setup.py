"""When a set-up has something to do, and that it is done once at a time."""

import fcntl
import os
import pathlib
import subprocess
import sys

import pytest

from tests.waiting import until
from tools import machine, setup

ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.fixture
def clone(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A clone that has been set up."""
    for name in ("uv.lock", "pyproject.toml", "tools/setup.py", ".venv/bin/python", ".venv/bin/pulumi"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    stamp = tmp_path / ".venv" / "share" / "gaxx" / "setup"
    stamp.parent.mkdir(parents=True)
    (stamp.parent / "engine.json").write_text("{}")
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    monkeypatch.setattr(setup, "STAMP", stamp)
    stamp.write_text(setup.inputs())
    return tmp_path


@pytest.mark.usefixtures("clone")
def test_nothing_is_to_be_done_after_a_set_up() -> None:
    assert setup.ready()


@pytest.mark.parametrize("name", ["uv.lock", "pyproject.toml", "tools/setup.py"])
def test_a_change_of_what_it_depends_on_asks_for_another(clone: pathlib.Path, name: str) -> None:
    (clone / name).write_text("changed")
    assert not setup.ready()


@pytest.mark.parametrize("name", [".venv/bin/python", ".venv/bin/pulumi", ".venv/share/gaxx/engine.json"])
def test_the_loss_of_what_it_made_asks_for_another(clone: pathlib.Path, name: str) -> None:
    (clone / name).unlink()
    assert not setup.ready()


def test_compiled_files_ask_for_nothing(clone: pathlib.Path) -> None:
    (clone / "tools" / "__pycache__").mkdir()
    (clone / "tools" / "__pycache__" / "setup.cpython-311.pyc").write_bytes(b"\0")
    assert setup.ready()


@pytest.mark.usefixtures("clone")
def test_a_machine_that_has_lost_a_command_asks_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "NEEDS", (machine.Need("package", command="no-such-command"),))
    assert not setup.ready()


@pytest.mark.usefixtures("clone")
def test_a_failure_is_one_line_and_exit_1_and_leaves_no_stamp(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "NEEDS", (machine.Need("package", command="no-such-command"),))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert setup.main() == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("gaxx: set-up: ")
    assert not setup.STAMP.exists()


def test_a_second_set_up_of_the_same_clone_waits_for_the_first(clone: pathlib.Path) -> None:
    program = (
        "import pathlib, sys; from tools import setup\n"
        f"setup.ROOT = pathlib.Path({str(clone)!r})\n"
        "with setup.alone(): print('mine', flush=True)\n"
    )
    folder = os.open(clone, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        argv = (sys.executable, "-c", program)
        with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as second:
            until(lambda: f"-> FLOCK  ADVISORY  WRITE {second.pid} " in pathlib.Path("/proc/locks").read_text())
            fcntl.flock(folder, fcntl.LOCK_UN)
            said, words = second.communicate(timeout=20)
    finally:
        os.close(folder)
    assert said == "mine\n"
    assert "another set-up of this clone is at work" in words


def test_an_older_python_is_told_so_in_one_line(tmp_path: pathlib.Path) -> None:
    # The check must run on a Python that cannot read the rest; to be able to tell here, the version is made up.
    program = (
        "import sys, types, runpy\n"
        "sys.version_info = (3, 9, 2); sys.version = '3.9.2 (made up)'\n"
        f"runpy.run_path({str(ROOT / 'tools' / 'setup.py')!r}, run_name='__main__')\n"
    )
    answer = subprocess.run((sys.executable, "-c", program), check=False, capture_output=True, text=True, cwd=tmp_path)
    assert answer.returncode == 1
    assert answer.stderr == f"gaxx: Python 3.11 or newer is needed, and {sys.executable} is 3.9.2\n"
