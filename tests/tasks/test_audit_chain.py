"""A trail is whole, or the first thing that is wrong with it is named by file and line."""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.audit.files import Files
from agent.audit.lines import Record
from tasks.audit.chain import FIRST_PREV, Chain, Fault, Head, Line, parse

Lines = list[bytes]


def written(count: int) -> Lines:
    """What the agent writes, so that reader and writer mean the same."""
    with tempfile.TemporaryDirectory() as folder:
        files = Files(Path(folder))
        files.open(node="demo-1", machine="m-1")
        files.append(Record(1e9 + at, "file", {"event": "put", "path": f"/é{at}"}) for at in range(count - 1))
        files.close()
        return (Path(folder) / NAME).read_bytes().splitlines()


NAME = "000000000001.jsonl"
TRAIL = written(12)


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


HEAD = Head(len(TRAIL), sha256(TRAIL[-1]))
KNOWN = {at: sha256(raw) for at, raw in enumerate(TRAIL, 1)}


def fault_in(lines: Sequence[bytes], head: Head | None = HEAD, *, first: int = 1, **chain: object) -> Fault | None:
    made = Chain(**chain)  # type: ignore[arg-type]
    for number, raw in enumerate(b"\n".join(lines).split(b"\n"), first):
        if not made.take(Line.read(NAME, number, raw)):
            break
    return made.end(head, whole=True)


def linked(*fields: dict[str, object]) -> Lines:
    """A trail that is whole in itself."""
    lines: Lines = []
    prev = FIRST_PREV
    for sequence, more in enumerate(fields, 1):
        lines.append(json.dumps({"seq": sequence, "kind": "file", **more, "prev": prev}).encode())
        prev = sha256(lines[-1])
    return lines


places = st.integers(0, len(TRAIL) - 1)


def test_what_the_agent_writes_is_whole() -> None:
    assert fault_in(TRAIL) is None
    assert fault_in(TRAIL, known=KNOWN, machine="m-1") is None


@given(at=places, where=st.floats(0, 0.999), byte=st.integers(0, 255))
def test_any_changed_byte_is_found_in_its_line(at: int, where: float, byte: int) -> None:
    line = bytearray(TRAIL[at])
    place = int(where * len(line))
    line[place] = byte if byte != line[place] else byte ^ 1
    found = fault_in([*TRAIL[:at], bytes(line), *TRAIL[at + 1 :]])
    assert found is not None
    assert found.line == at + 1


@given(at=places, text=st.text(min_size=1))
def test_a_line_with_other_words_is_found(at: int, text: str) -> None:
    record = {**parse(TRAIL[at]), "path": text}
    found = fault_in([*TRAIL[:at], json.dumps(record).encode(), *TRAIL[at + 1 :]])
    assert found is not None
    assert found.line == at + 1


@given(first=places, count=st.integers(1, len(TRAIL)))
def test_any_removed_lines_are_found_where_they_stood(first: int, count: int) -> None:
    left = [*TRAIL[:first], *TRAIL[first + count :]]
    found = fault_in(left)
    assert found is not None
    assert found.line == min(first + 1, len(left)) or not left


@given(one=places, other=places)
def test_any_two_lines_in_each_others_place_are_found(one: int, other: int) -> None:
    lines = list(TRAIL)
    lines[one], lines[other] = lines[other], lines[one]
    found = fault_in(lines)
    assert (found is None) == (one == other)
    if found is not None:
        assert found.line == min(one, other) + 1


@given(st.permutations(TRAIL))
def test_no_other_order_is_whole(lines: Lines) -> None:
    assert (fault_in(lines) is None) == (lines == TRAIL)


@given(at=places, again=places)
def test_an_inserted_line_is_found(at: int, again: int) -> None:
    found = fault_in([*TRAIL[:at], TRAIL[again], *TRAIL[at:]])
    assert found is not None
    # A line twice in a row: it is the second that does not belong.
    assert found.line == (at + 2 if again == at else at + 1)


@given(left=st.integers(0, len(TRAIL) - 1))
def test_a_cut_is_found_by_the_agents_head_and_by_what_was_collected(left: int) -> None:
    for found in (fault_in(TRAIL[:left]), fault_in(TRAIL[:left], None, known={HEAD.sequence: HEAD.sha256})):
        assert found is not None
        assert ("has been cut" in found.what) == bool(left)


@given(left=st.integers(1, len(TRAIL[-1]) - 1))
def test_a_cut_within_the_last_line_is_found(left: int) -> None:
    assert fault_in([*TRAIL[:-1], TRAIL[-1][:left]]) is not None


@given(at=places)
def test_a_trail_that_was_written_anew_is_found_by_what_was_collected_in_its_first_line(at: int) -> None:
    fields = [parse(raw) for raw in TRAIL]
    fields[at]["path"] = "/another"
    forged: Lines = []
    prev = FIRST_PREV
    for record in fields:
        forged.append(json.dumps({**record, "prev": prev}, separators=(",", ":")).encode())
        prev = sha256(forged[-1])
    head = Head(len(forged), prev)
    assert fault_in(forged, head) is None, "whole in itself: nothing else can tell"
    found = fault_in(forged, head, known=KNOWN)
    assert found is not None
    assert found.line == at + 1
    assert "rewritten" in found.what
    assert fault_in(forged, head, known={HEAD.sequence: HEAD.sha256}) is not None


def test_a_torn_line_that_the_next_one_accounts_for_is_no_fault_and_is_told() -> None:
    torn = b'{"seq":3,"time":"2026'
    before = linked({}, {})
    gap = {"seq": 3, "kind": "gap", "why": "torn", "torn_sha256": [sha256(torn)], "prev": sha256(before[-1])}
    line = json.dumps(gap).encode()
    assert fault_in([*before, torn, line], Head(3, sha256(line))) is None
    other = fault_in([*before, torn + b"x", line], Head(3, sha256(line)))
    assert other is not None
    assert other.line == 3


def test_lines_missing_at_the_beginning_need_a_line_that_says_so() -> None:
    lines = linked({}, {}, {}, {})
    head = Head(4, sha256(lines[-1]))
    found = fault_in(lines[1:], head, first=2)
    assert found is not None
    assert "the 1 lines before are gone" in found.what
    dropped: dict[str, object] = {"kind": "chain", "event": "dropped", "first": 1, "last": 1}
    lines = linked({}, {}, {**dropped, "last_sha256": sha256(linked({})[0])}, {})
    assert fault_in(lines[1:], Head(4, sha256(lines[-1])), first=2) is None


def test_another_machines_trail_is_not_taken_for_this_ones() -> None:
    found = fault_in(TRAIL, machine="m-2")
    assert found == Fault(NAME, 1, "this is the trail of machine m-1, not of m-2")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b'{"seq":true,"prev":"x"}',
        b'{"seq":"1"}',
        b'{"seq":-1}',
        b"\xff",
        b"[" * 9999,
    ],
)
def test_what_is_no_line_is_a_fault_and_never_an_error(line: bytes) -> None:
    for lines in ([line], [*TRAIL, line], [line, *TRAIL]):
        assert fault_in(lines) is not None


@pytest.mark.parametrize("value", ["x", [1], {"a": 1}, None, 1.5, True])
def test_odd_values_in_lines_that_fit_are_no_error(value: object) -> None:
    lines = linked({"kind": "chain", "event": "dropped", "last": value, "last_sha256": value, "machine": value})
    fault_in(lines, Head(1, sha256(lines[0])), machine="m")
