"""What is seen of a transfer: data on stdout, a bar only on a terminal, and nothing slow loaded for it."""

import os
import pathlib
import pty
import subprocess
import sys

import pytest

from tasks.files import watch
from tasks.files.results import FileResult, NodeReport, State, Transfer, fold, fold_faults, printable
from tests.tasks.files.places import home, make
from tests.tasks.fleet import ROOT, Fleet


def result(node: str, path: str, state: State, **more: str) -> FileResult:
    return FileResult(node, path, state, size_bytes=10, **more)


def test_without_a_terminal_there_are_plain_lines_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch, "LINE_INTERVAL_S", 0)
    with watch.Watch(2, 4096) as seen:
        seen.moved("n1", 1024)
        seen.answered(NodeReport("n1"))
        seen.told(result("n2", "x", State.UNCHANGED))
        seen.note("a\x1b[2Jb")
    stdout, stderr = capfd.readouterr()
    assert (stdout, stderr.splitlines()) == (
        "",
        [
            "gaxx: 1.0 KiB of 4.0 KiB, 0 of 2 nodes through",
            "gaxx: 1.0 KiB of 4.0 KiB, 1 of 2 nodes through",
            "gaxx: a\\x1b[2Jb",
        ],
    )


def test_a_path_is_written_once(capfd: pytest.CaptureFixture[str]) -> None:
    with watch.Watch(2, 0, names_paths=True) as seen:
        for node in ("n1", "n2"):
            seen.told(result(node, "x", State.FETCHED, local="in/x"))
        seen.told(result("n1", "y", State.FAILED, error="no"))
    assert capfd.readouterr() == ("in/x\n", "")


def test_equal_answers_and_faults_are_folded() -> None:
    reports = [NodeReport(f"n{number}", planned=2) for number in (1, 2, 3)]
    for report in reports:
        report.add(result(report.node, "x", State.SENT))
        report.add(result(report.node, "y", State.FAILED, error="no"))
    reports[2].add(result("n3", "z", State.SENT))
    assert fold(reports) == [("n[1-2] (2): 1 failed, 1 sent", False), ("n3 (1): 1 failed, 2 sent", False)]
    assert fold_faults(reports) == ["n[1-3]: y: no"]


def test_what_was_planned_and_has_no_result_is_not_lost() -> None:
    report = NodeReport("n1", State.LOST, "broke", planned=5)
    report.add(result("n1", "x", State.SENT))
    report.add(result("n1", "old", State.REMOVED))
    assert report.not_done == 4
    assert fold([report]) == [("n1 (1): lost: broke (1 removed, 1 sent, 4 not done)", False)]


@pytest.mark.parametrize(
    ("states", "interrupted", "code"),
    [
        ([State.OK], False, 0),
        ([State.OK, State.FAILED], False, 3),
        ([State.FAILED, State.LOST], False, 5),
        ([State.UNREACHABLE, State.REFUSED], False, 2),
        ([State.ERROR, State.REFUSED], False, 1),
        ([State.REFUSED, State.CANCELLED], True, 130),
    ],
)
def test_the_worst_of_the_nodes_is_the_exit_code(states: list[State], interrupted: bool, code: int) -> None:
    reports = tuple(NodeReport(f"n{number}", state) for number, state in enumerate(states))
    assert Transfer(reports, interrupted, 1.0).exit_code == code


def test_words_from_elsewhere_cannot_drive_a_terminal() -> None:
    assert printable("ü a\x1b]0;x\x07\r\n\u202e") == "ü a\\x1b]0;x\\x07\\r\\n\\u202e"


def test_nothing_slow_is_loaded_for_the_way_through_agents() -> None:
    modules = "tasks.cli.put, tasks.cli.get, tasks.cli.sync, tasks.files.jobs, tasks.files.transfer, tasks.files.watch"
    slow = {"fabric", "paramiko", "invoke", "rich", "pulumi", "cryptography"}
    program = f"import sys, {modules}; print(*sorted({slow!r} & set(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    assert answer.stdout == "\n"


@pytest.mark.engine
def test_a_bar_is_drawn_on_a_terminal_and_wiped_again(three: Fleet, tmp_path: pathlib.Path) -> None:
    make(home(three.machines["demo-1"]), {"bar/x": bytes(3_000_000)})
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "tasks.cli.main", "get", "bar/x", str(tmp_path), "-n", "demo-1"],
        cwd=three.root, env={**three.environ, "TERM": "xterm"}, stdout=subprocess.PIPE, stderr=theirs,
    ) as process:  # fmt: skip
        os.close(theirs)
        seen = b""
        # A terminal that nobody holds any more ends with an error.
        while (data := _read(ours)) is not None:
            seen += data
        assert process.stdout is not None
        stdout = process.stdout.read()
    os.close(ours)
    assert (process.returncode, stdout) == (0, os.fsencode(tmp_path / "x") + b"\n")
    assert b"1/1 nodes" in seen
    bar, _, summary = seen.rpartition(b"\x1b[2K")
    assert b"\x1b[?25h" in bar, "the cursor is shown again"
    assert summary == b"gaxx: demo-1 (1): 1 fetched, 2.9 MiB\r\n"


def _read(terminal: int) -> bytes | None:
    try:
        return os.read(terminal, 65536) or None
    except OSError:
        return None
