"""What a run is, and when two of them are the same."""

import dataclasses
import fnmatch

import hypothesis
import pytest
from hypothesis import strategies as st

from components.errors import GaxxError, Refused
from tasks.work.errors import TemplateError
from tasks.work.options import MapOptions, SentFile

FILE = SentFile("tool.py", "/here/tool.py", "ab" * 32, 10, 0o755)
BASE = MapOptions((b"echo", b"{}"))


@hypothesis.given(
    argv=st.lists(st.binary(max_size=8), min_size=1, max_size=3).map(tuple),
    value=st.binary(max_size=8),
    glob=st.binary(max_size=5),
)
def test_options_survive_the_manifest(argv: tuple[bytes, ...], value: bytes, glob: bytes) -> None:
    options = MapOptions(argv, shell=True, env=(("A", value),), returns=(glob,), files=(FILE,), shuffle="7")  # noqa: S604 - an option of ours
    assert MapOptions.from_dict(options.as_dict()) == options


@pytest.mark.parametrize(
    "changed",
    [
        {"argv": (b"echo", b"{.}")},
        {"env": (("A", b"1"),)},
        {"files": (FILE,)},
        {"returns": (b"*.png",)},
        {"chunk": 2},
        {"delimiter": b"\0"},
        {"cwd": "elsewhere"},
        {"isolate": True},
    ],
)
def test_another_command_environment_or_file_is_another_run(changed: dict[str, object]) -> None:
    assert dataclasses.replace(BASE, **changed).identity != BASE.identity  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changed",
    [{"attempts": 3}, {"timeout": "5m"}, {"halt": "soon,fail=1"}, {"rate": 3.0}, {"nodes": "demo-1"}, {"slots": 9}],
)
def test_how_it_is_executed_makes_no_other_run(changed: dict[str, object]) -> None:
    assert dataclasses.replace(BASE, **changed).identity == BASE.identity  # type: ignore[arg-type]


def test_the_same_file_elsewhere_is_the_same_run() -> None:
    here, there = (dataclasses.replace(BASE, files=(dataclasses.replace(FILE, source=path),)) for path in ("/a", "/b"))
    assert here.identity == there.identity


@hypothesis.given(item=st.binary(min_size=1, max_size=12).filter(lambda item: b"\n" not in item))
def test_a_glob_with_an_item_in_it_matches_that_item_alone(item: bytes) -> None:
    (glob,) = dataclasses.replace(BASE, returns=(b"out-{}.png",)).own_returns(item, 0)
    assert fnmatch.fnmatchcase(b"out-" + item + b".png", glob)
    assert not fnmatch.fnmatchcase(b"out-" + item + b"x.png", glob)


def test_in_a_chunk_every_line_has_its_files() -> None:
    options = dataclasses.replace(BASE, chunk=2, returns=(b"{/.}.out",), sends=(b"{}",), isolate=True)
    assert options.own_returns(b"a/x.c\nb/y.c", 0) == [b"x.out", b"y.out"]
    assert options.own_sends(b"a/x.c\na/x.c", 0) == [b"a/x.c"]


def test_what_cannot_work_is_refused_before_anything_begins() -> None:
    with pytest.raises(Refused, match="items are data"):
        MapOptions((b"sh", b"-c", b"echo {}"))
    with pytest.raises(TemplateError, match="--isolate"):
        MapOptions((b"true",), sends=(b"{}",))
    for wrong in ({"timeout": "soon"}, {"halt": "never,mind"}):
        with pytest.raises(GaxxError):
            MapOptions((b"true",), **wrong)  # type: ignore[arg-type]
