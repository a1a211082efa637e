"""The spooled input."""

import os
import pathlib

import hypothesis
import pytest
from hypothesis import strategies as st

from tasks.work import items
from tasks.work.errors import SpoolError

BLOCKS = st.lists(st.binary(max_size=12).map(lambda data: data.replace(b"x", b"\n")), max_size=12)


def expected(data: bytes, delimiter: bytes, chunk: int) -> list[bytes]:
    """What the input means, said simply."""
    lines = data.split(delimiter)
    if not lines[-1]:
        lines.pop()
    return [delimiter.join(lines[start : start + chunk]) for start in range(0, len(lines), chunk)]


@hypothesis.given(blocks=BLOCKS, chunk=st.integers(1, 4), delimiter=st.sampled_from([b"\n", b"\0"]))
def test_items_are_the_lines_of_the_input_wherever_its_blocks_are_cut(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[bytes], chunk: int, delimiter: bytes
) -> None:
    spool = items.Spool(tmp_path_factory.mktemp("spool"), delimiter=delimiter, chunk=chunk)
    made = sum(spool.feed(block) for block in blocks) + spool.finish()
    wanted = expected(b"".join(blocks), delimiter, chunk)
    got: list[bytes] = []
    while len(got) < spool.count:
        got += spool.read(len(got), spool.count - len(got))
    assert (got, made, spool.complete) == (wanted, len(wanted), True)
    assert [spool.read(index, 1)[0] for index in range(spool.count)] == wanted
    spool.close()


def test_a_spool_is_found_again_by_the_next_controller_and_known_to_be_whole(tmp_path: pathlib.Path) -> None:
    first = items.Spool(tmp_path)
    first.feed(b"a\nb\nno newline")
    first.finish()
    again = items.Spool.reopen(tmp_path, sha256=first.sha256)
    assert (again.complete, again.read(0, 9)) == (True, [b"a", b"b", b"no newline"])


def test_a_spool_whose_controller_died_while_reading_is_not_taken_for_whole(tmp_path: pathlib.Path) -> None:
    first = items.Spool(tmp_path)
    first.feed(b"a\nb\nc")
    whole = items.Spool(tmp_path.parent / tmp_path.name)
    whole.close()
    again = items.Spool.reopen(tmp_path, sha256="another")
    assert (again.complete, again.read(0, 9)) == (False, [b"a", b"b"])


def test_a_spool_that_lost_its_data_is_refused(tmp_path: pathlib.Path) -> None:
    first = items.Spool(tmp_path)
    first.feed(b"a\nb\n")
    os.truncate(tmp_path / items.DATA, 1)
    with pytest.raises(SpoolError, match="shorter than its offsets"):
        items.Spool.reopen(tmp_path)


def test_long_items_are_read_one_at_a_time_and_short_ones_together(tmp_path: pathlib.Path) -> None:
    spool = items.Spool(tmp_path)
    long = b"x" * (items.READ_LIMIT_BYTES + 1)
    spool.feed(b"\n".join([long, long, b"short", b"short"]) + b"\n")
    assert [len(batch) for batch in (spool.read(0, 4), spool.read(1, 3), spool.read(2, 2))] == [1, 1, 2]


def test_a_full_disk_is_said_and_not_a_traceback(tmp_path: pathlib.Path) -> None:
    (tmp_path / items.DATA).symlink_to("/dev/full")
    spool = items.Spool(tmp_path)
    with pytest.raises(SpoolError, match="No space left on device"):
        spool.feed(b"a\n")


def test_blocks_come_as_they_are_there_and_end_with_the_pipe() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream, os.fdopen(writer, "wb", buffering=0) as pipe:
        source = items.blocks(stream)
        pipe.write(b"first")
        assert next(source) == b"first"
        pipe.write(b"second")
        pipe.close()
        assert list(source) == [b"second"]
