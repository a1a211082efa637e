"""Runs on disk: found by name, driven by one controller at a time, private."""

import os
import pathlib
import stat
import subprocess
import sys

import pytest

from components.errors import GaxxError, Refused
from tasks.work.errors import JournalError
from tasks.work.run_folder import RunFolder, all_runs, find_run


@pytest.fixture
def runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> list[RunFolder]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    made = []
    for place, name in enumerate(("20260101-000000-ffff", "20260101-000000-0000", "20260102-000000-abcd")):
        folder = RunFolder.create(name)
        folder.write_manifest({"created": float(place)})
        made.append(folder)
    return made


def test_runs_are_listed_in_the_order_in_which_they_were_begun(runs: list[RunFolder]) -> None:
    assert [run.id for run in all_runs()] == [run.id for run in runs]


@pytest.mark.parametrize(("name", "place"), [("last", 2), ("20260102", 2), ("ffff", 0), ("20260101-000000-0000", 1)])
def test_a_run_is_found_by_any_part_that_is_enough(runs: list[RunFolder], name: str, place: int) -> None:
    assert find_run(name).id == runs[place].id


@pytest.mark.parametrize(("name", "why"), [("2026", "several runs fit"), ("x", "no run is called"), ("", "no run")])
def test_a_name_that_does_not_decide_is_refused(runs: list[RunFolder], name: str, why: str) -> None:
    with pytest.raises(JournalError, match=why):
        find_run(name)
    assert runs


def test_nobody_else_can_look_into_a_run(runs: list[RunFolder]) -> None:
    assert stat.S_IMODE(runs[0].path.stat().st_mode) == 0o700
    runs[0].manifest.chmod(0o644)
    with pytest.raises(Refused, match="open to others"):
        runs[0].read_manifest()


def test_one_controller_drives_and_its_death_frees_the_run(runs: list[RunFolder]) -> None:
    script = (
        "import sys, pathlib; from tasks.work.run_folder import RunFolder\n"
        "with RunFolder(pathlib.Path(sys.argv[1])).driving(): print('drives', flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", script, str(runs[0].path)]
    environ = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[3])}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"drives\n"
        assert runs[0].driver() == other.pid
        with pytest.raises(GaxxError, match=f"driven by process {other.pid}"), runs[0].driving():
            pass
        other.kill()
        other.wait()
    assert runs[0].driver() == 0
    with runs[0].driving():
        assert runs[0].driver() == os.getpid()


def test_a_damaged_manifest_is_said(runs: list[RunFolder]) -> None:
    runs[0].manifest.write_text("{")
    with pytest.raises(GaxxError, match="damaged"):
        runs[0].read_manifest()
    runs[1].manifest.unlink()
    with pytest.raises(GaxxError, match="was never begun"):
        runs[1].read_manifest()
