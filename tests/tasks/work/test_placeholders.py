"""Placeholders mean what GNU parallel means by them."""

import hypothesis
import pytest
from hypothesis import strategies as st

from tasks.work.placeholders import Template, fill


@pytest.mark.parametrize(
    ("placeholder", "item", "wanted"),
    [
        (b"{}", b"a b/c.tar.gz", b"a b/c.tar.gz"),
        (b"{.}", b"dir/c.tar.gz", b"dir/c.tar"),
        (b"{.}", b"dir.d/file", b"dir.d/file"),
        (b"{.}", b"no extension", b"no extension"),
        (b"{.}", b".bashrc", b""),
        (b"{.}", b"end.", b"end."),
        (b"{.}", b"a.b\nc", b"a"),
        (b"{/}", b"/a/b/c.png", b"c.png"),
        (b"{/}", b"c.png", b"c.png"),
        (b"{/}", b"a/b/", b""),
        (b"{//}", b"a/b/c", b"a/b"),
        (b"{//}", b"c", b"."),
        (b"{//}", b"/c", b"/"),
        (b"{/.}", b"a.d/b.png", b"b"),
        (b"{#}", b"whatever", b"7"),
    ],
)
def test_a_placeholder_stands_for_a_part_of_the_item(placeholder: bytes, item: bytes, wanted: bytes) -> None:
    assert fill(placeholder, item, 7) == wanted


def test_placeholders_are_filled_wherever_they_stand_in_an_argument() -> None:
    template = Template([b"convert", b"{}", b"-o", b"out/{/.}-{#}.png", b"{unknown}", b"{ }"])
    assert template.command(b"in/a b.jpg", 4) == [
        b"convert", b"in/a b.jpg", b"-o", b"out/a b-5.png", b"{unknown}", b"{ }",
    ]  # fmt: skip


@hypothesis.given(item=st.binary())
def test_an_item_arrives_byte_for_byte_and_is_not_looked_at_again(item: bytes) -> None:
    argv = Template([b"cmd", b"{}", b"a{}b"]).command(item, 0)
    assert argv == [b"cmd", item, b"a" + item + b"b"]


def test_placeholders_in_an_item_are_only_bytes() -> None:
    assert Template([b"echo", b"<{}>"]).command(b"{.}{}{#}", 0) == [b"echo", b"<{.}{}{#}>"]


def test_in_a_chunk_an_argument_is_repeated_for_each_line_and_the_number_is_the_chunks() -> None:
    template = Template([b"cat", b"{}", b"--name={/}", b"part-{#}"], lines_delimiter=b"\n")
    assert template.command(b"a/1\nb/2", 2) == [b"cat", b"a/1", b"b/2", b"--name=1", b"--name=2", b"part-3"]


def test_a_command_without_placeholders_is_the_same_for_every_item() -> None:
    template = Template([b"true"])
    assert (template.has_placeholder, template.command(b"x", 0)) == (False, [b"true"])
