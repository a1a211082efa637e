"""What a controller keeps of a trail: byte for byte, from head to head, also after an interruption or over a hole."""

import hashlib
import json
import pathlib

import pytest

from components.errors import GaxxError
from tasks.audit.chain import Head, Line
from tasks.audit.kept import Kept, locked
from tasks.audit.offline import check

PREV = "0" * 64


def trail(count: int) -> list[Line]:
    lines: list[Line] = []
    prev = PREV
    for sequence in range(1, count + 1):
        fields = {"seq": sequence, "time": f"2026-01-01T00:00:{sequence:02}.000Z", "kind": "file", "prev": prev}
        raw = json.dumps(fields, separators=(",", ":")).encode()
        lines.append(Line.read("000000000001.jsonl", sequence, raw))
        prev = hashlib.sha256(raw).hexdigest()
    return lines


TRAIL = trail(12)


def head_at(sequence: int) -> Head:
    return Head(sequence, TRAIL[sequence - 1].sha256)


@pytest.fixture
def kept(tmp_path: pathlib.Path) -> Kept:
    return Kept.of(tmp_path, "demo-1", "m-1")


def collect(kept: Kept, lines: list[Line]) -> None:
    with kept.incoming() as incoming:
        for line in lines:
            incoming.take(line)
        incoming.keep(head_at(lines[-1].sequence))


def test_nothing_is_known_before_the_first_collection(kept: Kept) -> None:
    assert (kept.head(), list(kept.lines()), kept.files()) == (None, [], [])


def test_what_comes_in_parts_is_one_trail(kept: Kept) -> None:
    collect(kept, TRAIL[:5])
    collect(kept, TRAIL[4:9])
    collect(kept, TRAIL[8:9])
    collect(kept, TRAIL)
    assert kept.head() == head_at(12)
    assert [line.raw for line in kept.lines()] == [line.raw for line in TRAIL]
    assert check([kept.folder], head=head_at(12)).fault is None


def test_lines_that_were_not_approved_are_not_kept(kept: Kept) -> None:
    collect(kept, TRAIL[:5])
    with kept.incoming() as incoming:
        for line in TRAIL[4:]:
            incoming.take(line)
    assert [line.sequence for line in kept.lines()] == [1, 2, 3, 4, 5]


def test_what_an_interrupted_collection_left_is_written_once(kept: Kept) -> None:
    collect(kept, TRAIL[:5])
    (path,) = kept.files()
    path.write_bytes(path.read_bytes() + TRAIL[5].raw + b"\n" + TRAIL[6].raw[:20])
    assert [line.sequence for line in kept.lines()] == [1, 2, 3, 4, 5]
    collect(kept, TRAIL[4:])
    assert path.read_bytes() == b"".join(line.raw + b"\n" for line in TRAIL)


def test_a_first_collection_that_was_interrupted_is_begun_anew(kept: Kept) -> None:
    collect(kept, TRAIL[:5])
    (kept.folder / "head.json").unlink()
    collect(kept, TRAIL)
    assert [line.sequence for line in kept.lines()] == list(range(1, 13))


def test_behind_a_hole_a_new_file_begins(kept: Kept) -> None:
    collect(kept, TRAIL[:3])
    collect(kept, TRAIL[7:])
    assert [path.name for path in kept.files()] == ["000000000001.jsonl", "000000000008.jsonl"]
    assert [line.sequence for line in kept.lines()] == [1, 2, 3, 8, 9, 10, 11, 12]


def test_a_torn_line_is_kept_where_it_stood(kept: Kept) -> None:
    torn = Line.read("000000000001.jsonl", 6, b'{"seq":6,"ti')
    collect(kept, TRAIL[:5])
    collect(kept, [TRAIL[4], torn, *TRAIL[5:]])
    assert [line.raw for line in kept.lines()][5] == torn.raw


def test_records_are_those_from_a_time_on(kept: Kept) -> None:
    collect(kept, TRAIL)
    assert [record["seq"] for record in kept.records("2026-01-01T00:00:11")] == [11, 12]
    assert len(list(kept.records())) == 12


def test_a_head_that_cannot_be_read_is_said_and_not_taken_for_none(kept: Kept) -> None:
    collect(kept, TRAIL)
    (kept.folder / "head.json").write_text("{}")
    with pytest.raises(GaxxError, match=r"head\.json cannot be read"):
        kept.head()


def test_every_machine_that_a_node_was_is_remembered(tmp_path: pathlib.Path) -> None:
    for node, machine in (("demo-1", "m-1"), ("demo-1", "m-2"), ("demo-2", "m-3")):
        collect(Kept.of(tmp_path, node, machine), TRAIL[:2])
    assert [node for node, _ in Kept.every(tmp_path)] == ["demo-1", "demo-1", "demo-2"]
    assert [node for node, _ in Kept.every(tmp_path, ["demo-1"])] == ["demo-1", "demo-1"]
    assert Kept.every(tmp_path, ["demo-9"]) == []


async def test_one_collects_at_a_time(tmp_path: pathlib.Path) -> None:
    async with locked(tmp_path / "stack", within_s=1):
        with pytest.raises(GaxxError, match="another `gaxx audit`"):
            async with locked(tmp_path / "stack", within_s=0.2):
                pass
    async with locked(tmp_path / "stack", within_s=1):
        pass
