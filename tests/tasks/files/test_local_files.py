"""What is to be sent, and where to: found before anything is sent, with every doubt said."""

import os
import pathlib

import pytest

from components.errors import GaxxError, Refused
from tasks.files.local_files import Plan, plan_put, plan_sync
from tests.tasks.files.places import make


@pytest.fixture
def here(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The current folder, with some files."""
    make(tmp_path, {"a.txt": b"a", "b.txt": b"b", "dir/c.txt": b"c", "dir/sub/d.txt": b"d"})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def targets(plan: Plan) -> dict[str, str]:
    return {source.local: source.remote for source in plan.sources}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a.txt"], {"a.txt": "a.txt"}),
        (["a.txt", "b.txt"], {"a.txt": "a.txt", "b.txt": "b.txt"}),
        (["a.txt", "new/"], {"a.txt": "new/a.txt"}),
        (["a.txt", "new"], {"a.txt": "new"}),
        (["a.txt", "/opt/x"], {"a.txt": "/opt/x"}),
        (["a.txt", "/"], {"a.txt": "/a.txt"}),
        (["dir/", "up/"], {"dir/c.txt": "up/dir/c.txt", "dir/sub/d.txt": "up/dir/sub/d.txt"}),
        (["dir"], {"dir/c.txt": "dir/c.txt", "dir/sub/d.txt": "dir/sub/d.txt"}),
        (["dir", "other"], {"dir/c.txt": "other/c.txt", "dir/sub/d.txt": "other/sub/d.txt"}),
        (["?.txt"], {"a.txt": "a.txt", "b.txt": "b.txt"}),
        (["**/c.txt"], {"dir/c.txt": "c.txt"}),
        (["a.txt", "b.txt", "dir/"], {"a.txt": "dir/a.txt", "b.txt": "dir/b.txt"}),
    ],
)  # fmt: skip
def test_the_last_word_is_the_destination_only_where_it_can_be_no_file(
    here: pathlib.Path, words: list[str], expected: dict[str, str]
) -> None:
    assert (here.is_dir(), targets(plan_put(words))) == (True, expected)


@pytest.mark.usefixtures("here")
def test_the_destination_can_be_said_without_doubt() -> None:
    assert targets(plan_put(["a.txt"], to="b.txt")) == {"a.txt": "b.txt"}
    assert targets(plan_put(["a.txt", "b.txt"], to="x")) == {"a.txt": "x/a.txt", "b.txt": "x/b.txt"}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("words", [["nope"], ["a.txt", "b.txt", "nope"], ["*.zip"], ["*.txt", "nope"]])
def test_a_misspelt_file_is_no_destination(words: list[str]) -> None:
    with pytest.raises(GaxxError, match="no such file here"):
        plan_put(words)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("destination", ["../up", "a/../../b", "/etc/../x"])
def test_a_destination_that_climbs_is_refused(destination: str) -> None:
    with pytest.raises(Refused, match="neither"):
        plan_put(["a.txt"], to=destination)


def test_two_files_for_one_place_are_said(here: pathlib.Path) -> None:
    make(here, {"other/a.txt": b"2"})
    with pytest.raises(GaxxError, match=r"a\.txt and other/a\.txt would both be a\.txt"):
        plan_put(["a.txt", "other/a.txt"])


def test_links_to_files_are_followed_and_the_rest_is_named(here: pathlib.Path) -> None:
    (here / "dir/link").symlink_to("c.txt")
    (here / "dir/loop").symlink_to(".")
    (here / "dir/gone").symlink_to("nowhere")
    os.mkfifo(here / "dir/pipe")
    plan = plan_put(["dir"])
    assert sorted(targets(plan)) == ["dir/c.txt", "dir/link", "dir/sub/d.txt"]
    assert dict(plan.skipped) == {
        "dir/loop": "a link to a folder",
        "dir/gone": "a link to nothing",
        "dir/pipe": "not a regular file",
    }


def test_modes_and_sizes_are_kept(here: pathlib.Path) -> None:
    (here / "a.txt").chmod(0o751)
    [source] = plan_put(["a.txt"]).sources
    assert (source.mode, source.size_bytes) == (0o751, 1)


def test_a_name_that_cannot_travel_is_said_before_anything_is_sent(here: pathlib.Path) -> None:
    pathlib.Path(os.fsdecode(os.fsencode(here) + b"/dir/\xff")).write_text("x")
    with pytest.raises(GaxxError, match=r"dir/\\xff: the name is not UTF-8"):
        plan_put(["dir"])
    assert len(plan_put(["dir"], exclude=["\udcff"]).sources) == 2


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("exclude", "left"), [("*.txt", []), ("sub", ["dir/c.txt"]), ("sub/*", ["dir/c.txt"]), ("c*", ["dir/sub/d.txt"])]
)
def test_what_is_excluded_by_name_or_path_stays_here(exclude: str, left: list[str]) -> None:
    assert list(targets(plan_put(["dir"], exclude=[exclude]))) == left


def test_sync_means_what_is_in_the_folder(here: pathlib.Path) -> None:
    plan, target = plan_sync("dir")
    assert (target, targets(plan)) == ("dir", {"dir/c.txt": "dir/c.txt", "dir/sub/d.txt": "dir/sub/d.txt"})
    assert plan_sync(".")[1] == here.name
    assert targets(plan_sync("dir", to="x/y/")[0]) == {"dir/c.txt": "x/y/c.txt", "dir/sub/d.txt": "x/y/sub/d.txt"}
    with pytest.raises(GaxxError, match="no such folder"):
        plan_sync("a.txt")
