"""Outputs are put together by what they are, in the order of the input."""

import collections.abc
import pathlib

import pytest

from tasks.work.errors import TemplateError
from tasks.work.journal import Attempt, Fold, Journal, records
from tasks.work.merge import merge, outputs_of
from tasks.work.results import ResultStore


def outputs(*data: bytes) -> collections.abc.Iterator[tuple[int, bytes]]:
    return iter(list(enumerate(data)))


@pytest.mark.parametrize(
    ("kind", "data", "wanted"),
    [
        ("text", [b"a\n", b"no newline", b"", b"c\n"], b"a\nno newline\nc\n"),
        ("jsonl", [b'{"a": 1}\n\n[2]', b"", b"3\n"], b'{"a": 1}\n[2]\n3\n'),
        ("csv", [b"x,y\n1,2\n", b'x,y\n"a\nb",4\n', b"", b"x,y\n"], b'x,y\r\n1,2\r\n"a\nb",4\r\n'),
    ],
)
def test_outputs_are_merged_by_type(tmp_path: pathlib.Path, kind: str, data: list[bytes], wanted: bytes) -> None:
    assert merge(kind, outputs(*data), tmp_path / "sub/all") == len(data)
    assert (tmp_path / "sub/all").read_bytes() == wanted
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["all"]


def test_a_folder_gets_a_file_an_item(tmp_path: pathlib.Path) -> None:
    merge("directory", outputs(b"a", b"b"), tmp_path / "all")
    assert {path.name: path.read_bytes() for path in (tmp_path / "all").iterdir()} == {"1": b"a", "2": b"b"}


@pytest.mark.parametrize(
    ("kind", "data", "fault"),
    [
        ("jsonl", [b"1", b"{}\nnonsense\n"], "item 2, line 2 of its output is not JSON"),
        ("csv", [b"a,b\n", b"a,c\n"], "item 2 has another header: a,c"),
        ("csv", [b"\xff\xfe"], "item 1 is not CSV"),
    ],
)
def test_what_does_not_fit_is_named_and_leaves_nothing_half_done(
    tmp_path: pathlib.Path, kind: str, data: list[bytes], fault: str
) -> None:
    with pytest.raises(TemplateError, match=fault):
        merge(kind, outputs(*data), tmp_path / "all")
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_before_is_kept_under_another_name(tmp_path: pathlib.Path) -> None:
    for data in (b"first", b"second", b"third"):
        merge("text", outputs(data), tmp_path / "all.txt")
    kept = sorted(path.read_bytes() for path in tmp_path.iterdir())
    assert kept == [b"first\n", b"second\n", b"third\n"]
    assert (tmp_path / "all.txt").read_bytes() == b"third\n"


def test_outputs_are_those_of_the_attempts_that_were_accepted(tmp_path: pathlib.Path) -> None:
    store = ResultStore(tmp_path)
    journal = Journal(tmp_path / "journal.jsonl")

    def attempt(index: int, state: str, output: bytes) -> None:
        line = Attempt("", index, 1, "n", 1, 0.0, 0.0, "exited", state, stdout=store.put(output)).line()
        journal.append(line)

    attempt(2, "ok", b"two")
    attempt(0, "retry", b"wrong")
    attempt(1, "failed", b"bad")
    attempt(0, "ok", b"zero")
    attempt(2, "duplicate", b"late")
    store.flush()
    fold = Fold.of(journal.path)
    assert list(outputs_of(records(journal.path), fold, store)) == [(0, b"zero"), (2, b"two")]
