"""The trail on disk: one chain over files and restarts, whatever was torn, full or dropped meanwhile."""

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.audit.files import Files
from agent.audit.lines import Record
from agent.audit.snapshot import Head
from tasks.audit import chain
from tests.waiting import until


@contextmanager
def trail(folder: Path, **limits: int) -> Iterator[Files]:
    files = Files(folder, **limits)
    files.open(node="demo-1", machine="m-1")
    try:
        yield files
    finally:
        files.close()


def note(files: Files, *paths: str) -> None:
    files.append(Record(1e9, "file", {"path": path}) for path in paths)


def records(folder: Path) -> list[dict[str, Any]]:
    """All lines, torn ones left out."""
    return [parsed for line in raw(folder) if (parsed := chain.parse(line))]


def raw(folder: Path) -> list[bytes]:
    return [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def fault(folder: Path, head: Head) -> chain.Fault | None:
    """What is wrong with it, judged by who did not write it."""
    judge = chain.Chain(machine="m-1")
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            judge.take(chain.Line.read(path.name, number, line))
    return judge.end(chain.Head(*head), whole=True)


def test_the_first_line_says_whose_trail_begins_when(tmp_path: Path) -> None:
    with trail(tmp_path / "audit"):
        pass
    (first,) = records(tmp_path / "audit")
    assert (first["seq"], first["prev"], first["event"]) == (1, "0" * 64, "begin")
    assert (first["node"], first["machine"], first["start"][-1]) == ("demo-1", "m-1", "Z")


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    with trail(tmp_path / "audit"):
        assert (tmp_path / "audit").stat().st_mode & 0o077 == 0
        assert (tmp_path / "audit/000000000001.jsonl").stat().st_mode & 0o077 == 0


def test_the_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    with trail(tmp_path) as files:
        note(files, "a", "b")
    with trail(tmp_path) as files:
        note(files, "c")
        head = files.head
    assert [record["seq"] for record in records(tmp_path)] == [1, 2, 3, 4]
    assert fault(tmp_path, head) is None


@pytest.mark.parametrize("cut", [1, 20, 60, 100])
def test_a_torn_line_stays_and_the_next_one_accounts_for_it(tmp_path: Path, cut: int) -> None:
    with trail(tmp_path) as files:
        note(files, "a", "b")
    path = tmp_path / "000000000001.jsonl"
    *_, last = path.read_bytes().splitlines()
    path.write_bytes(path.read_bytes()[: -len(last) - 1 + cut])
    with trail(tmp_path) as files:
        note(files, "c")
        head = files.head
    lines = records(tmp_path)
    assert [line["kind"] for line in lines] == ["chain", "file", "gap", "file"]
    torn = hashlib.sha256(last[:cut]).hexdigest()
    assert (lines[2]["why"], lines[2]["torn_bytes"], lines[2]["torn_sha256"]) == ("torn", cut, [torn])
    assert last[:cut] in raw(tmp_path), "nothing is ever taken away"
    assert fault(tmp_path, head) is None


def test_a_line_that_lacks_nothing_but_its_newline_is_not_torn(tmp_path: Path) -> None:
    with trail(tmp_path) as files:
        note(files, "a")
    path = tmp_path / "000000000001.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    with trail(tmp_path) as files:
        note(files, "b")
        head = files.head
    assert [record["kind"] for record in records(tmp_path)] == ["chain", "file", "file"]
    assert fault(tmp_path, head) is None


@given(st.integers(0, 1500), st.integers(0, 1500))
def test_wherever_the_power_was_cut_the_trail_goes_on_and_is_whole(once: int, again: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "000000000001.jsonl"
        with trail(Path(folder)) as files:
            note(files, *"abcde")
        for cut in (once, again):
            path.write_bytes(path.read_bytes()[:cut])
            with trail(Path(folder)) as files:
                note(files, "f", "g")
                head = files.head
            assert fault(Path(folder), head) is None


WRITER = """
import sys
from pathlib import Path
from agent.audit.files import Files
from agent.audit.lines import Record
from agent.audit.snapshot import Head
files = Files(Path(sys.argv[1]), limit_bytes=20_000)
files.open(node="demo-1", machine="m-1")
while True:
    files.append(Record(1e9, "file", {"path": "x" * at}) for at in range(100))
"""


def test_a_writer_that_is_killed_leaves_a_trail_that_goes_on(tmp_path: Path) -> None:
    for _ in range(5):
        before = raw_size(tmp_path)
        writer = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path])
        until(lambda before=before: raw_size(tmp_path) != before)  # type: ignore[misc]
        writer.kill()
        writer.wait()
    with trail(tmp_path) as files:
        head = files.head
    assert fault(tmp_path, head) is None


def raw_size(folder: Path) -> tuple[str, int]:
    path = max(folder.glob("*.jsonl"), default=None)
    return (path.name, path.stat().st_size) if path else ("", 0)


def test_a_file_that_was_made_and_never_written_is_begun(tmp_path: Path) -> None:
    (tmp_path / "000000000001.jsonl").touch()
    with trail(tmp_path) as files:
        head = files.head
    assert records(tmp_path)[0]["event"] == "begin"
    assert fault(tmp_path, head) is None


def test_a_new_file_that_was_never_written_is_gone_on_with(tmp_path: Path) -> None:
    with trail(tmp_path) as files:
        note(files, "a")
    (tmp_path / "000000000003.jsonl").touch()
    with trail(tmp_path) as files:
        note(files, "b")
        head = files.head
    assert (head.sequence, fault(tmp_path, head)) == (3, None)


def test_the_chain_goes_on_across_files_and_the_oldest_go_after_a_line_has_said_so(tmp_path: Path) -> None:
    with trail(tmp_path, limit_bytes=2000, kept=3) as files:
        for at in range(100):
            note(files, f"/{at}")
        head, names = files.head, files.names
    assert len(names) == 3
    assert sum((tmp_path / name).stat().st_size for name in names) < 3 * 3000
    assert fault(tmp_path, head) is None
    (tmp_path / names[0]).unlink()
    found = fault(tmp_path, head)
    assert found is not None
    assert "no line says that they were dropped" in found.what
    with trail(tmp_path, limit_bytes=2000, kept=3) as files:
        assert files.head == head


@contextmanager
def full_disk(size_bytes: int) -> Iterator[None]:
    """No file grows beyond this: what a full disk looks like to a writer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_lines_wait_while_the_disk_is_full_and_none_is_lost(tmp_path: Path) -> None:
    with trail(tmp_path) as files:
        with full_disk(500):
            note(files, *(f"/{at}" for at in range(20)))
            assert files.fault == "File too large"
            with pytest.raises(OSError, match="File too large"):
                files.snapshot(1)
        note(files, "/after")
        assert files.fault == ""
        head = files.head
    assert (head.sequence, fault(tmp_path, head)) == (22, None)


def test_lines_beyond_what_can_wait_are_counted_by_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.audit.files.UNWRITTEN_LIMIT_BYTES", 1000)
    with trail(tmp_path) as files:
        with full_disk(300):
            for at in range(50):
                note(files, f"/{at}")
        note(files, "/after")
        note(files, "/later")
        head = files.head
    (gap,) = (record for record in records(tmp_path) if record["kind"] == "gap")
    kept = sum(record["kind"] == "file" for record in records(tmp_path))
    assert kept + gap["lines"] == 52
    assert fault(tmp_path, head) is None


def test_two_writers_are_one_too_many(tmp_path: Path) -> None:
    with trail(tmp_path), pytest.raises(BlockingIOError), trail(tmp_path):
        pass


def test_a_snapshot_is_what_was_there_and_survives_that_files_are_dropped(tmp_path: Path) -> None:
    with trail(tmp_path, limit_bytes=1000, kept=2) as files:
        note(files, *(f"/{at}" for at in range(10)))
        snapshot = files.snapshot(4)
        for at in range(50):
            note(files, f"/more{at}")
        parts = list(snapshot.parts())
        snapshot.close()
    lines = [json.loads(line) for part in parts for line in part.data.splitlines()]
    assert [line["seq"] for line in lines] == list(range(4, snapshot.head.sequence + 1))
    assert (parts[0].file, parts[0].line) == ("000000000001.jsonl", 4)


def test_a_snapshot_from_behind_the_end_has_a_head_and_no_lines(tmp_path: Path) -> None:
    with trail(tmp_path) as files:
        snapshot = files.snapshot(99)
        assert (list(snapshot.parts()), snapshot.head.sequence, snapshot.oldest) == ([], 1, 1)
        snapshot.close()


def test_values_from_outside_are_bounded(tmp_path: Path) -> None:
    with trail(tmp_path) as files:
        files.append([Record(1e9, "refused", {"why": "x" * 100_000, "names": ["\ud800"] * 1000})])
    line = raw(tmp_path)[-1]
    assert len(line) < 4000
    assert chain.parse(line)["names"] == ["\\udcff".replace("dcff", "d800")] * 64
