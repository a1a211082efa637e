"""Files on their way into a folder: where they end up, what is refused, and that nothing else is left."""

import hashlib
import os
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from components.errors import GaxxError
from tasks.files.arrivals import Arrivals
from tasks.files.results import FileFault, FileResult, NodeFault, State
from tests.tasks.files.places import make, tree


def arrive(arrivals: Arrivals, node: str, path: str, data: bytes, *, mode: int = 0o644) -> FileResult | None:
    with arrivals.begin(node, path, len(data), mode) as arrival:
        arrival.write(data)
        return arrival.finish(hashlib.sha256(data).hexdigest())


def several(target: pathlib.Path, files: dict[tuple[str, str], bytes]) -> dict[tuple[str, str], str]:
    """Let files of several nodes arrive; return where each lies, and check that it is this file."""
    with Arrivals(str(target), several=True) as arrivals:
        for (node, path), data in files.items():
            assert arrive(arrivals, node, path, data) is None
        placed = {(result.node, result.path): result for result in arrivals.place()}
    assert placed.keys() == files.keys()
    for key, result in placed.items():
        assert result.state is State.FETCHED, result.error
        assert pathlib.Path(result.local).read_bytes() == files[key]
    assert not list(target.glob(".gaxx-get-*"))
    return {key: str(pathlib.Path(result.local).relative_to(target)) for key, result in placed.items()}


def test_a_file_of_one_node_is_there_as_soon_as_it_is_whole(tmp_path: pathlib.Path) -> None:
    with Arrivals(str(tmp_path / "new/dir"), several=False) as arrivals:
        result = arrive(arrivals, "n1", "a/b", b"data", mode=0o4751)
        assert result is not None
        assert result.local == str(tmp_path / "new/dir/a/b")
        assert tree(tmp_path / "new/dir") == {"a/b": (b"data", 0o751)}
    assert [path.name for path in (tmp_path / "new/dir").iterdir()] == ["a"]


def test_equal_files_of_several_nodes_are_one(tmp_path: pathlib.Path) -> None:
    files = {(node, "x"): b"same" for node in ("n1", "n2", "n3")}
    assert set(several(tmp_path, files).values()) == {"x"}
    assert tree(tmp_path) == {"x": (b"same", 0o644)}


def test_different_files_of_one_name_go_below_their_nodes(tmp_path: pathlib.Path) -> None:
    files = {("n1", "x"): b"1", ("n2", "x"): b"2", ("n3", "x"): b"2", ("n1", "only"): b"o"}
    assert several(tmp_path, files) == {
        ("n1", "x"): "n1/x",
        ("n2", "x"): "n2/x",
        ("n3", "x"): "n3/x",
        ("n1", "only"): "only",
    }


@pytest.mark.parametrize(
    "files",
    [
        {("n1", "x"): b"file", ("n2", "x/y"): b"below"},
        {("n1", "x"): b"1", ("n2", "x"): b"2", ("n3", "n1/x"): b"sly"},
        {("n1", "n2"): b"file", ("n1", "x"): b"1", ("n2", "x"): b"2"},
    ],
)
def test_what_would_meet_at_one_place_goes_below_its_node(
    tmp_path: pathlib.Path, files: dict[tuple[str, str], bytes]
) -> None:
    assert several(tmp_path, files) == {(node, path): f"{node}/{path}" for node, path in files}


def test_empty_folders_come_too_with_their_modes(tmp_path: pathlib.Path) -> None:
    with Arrivals(str(tmp_path), several=True) as arrivals:
        arrivals.add_folder("n1", "empty", 0o750)
        arrivals.add_folder("n1", "out", 0o555)
        arrive(arrivals, "n1", "out/x", b"x")
        assert [result.state for result in arrivals.place()] == [State.FETCHED]
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {"empty": 0o750, "out": 0o555}


def test_a_wrong_digest_is_refused_and_nothing_is_left(tmp_path: pathlib.Path) -> None:
    with Arrivals(str(tmp_path), several=False) as arrivals:
        with arrivals.begin("n1", "x", 4, 0o644) as arrival:
            arrival.write(b"data")
            with pytest.raises(FileFault, match="has not the sha256") as caught:
                arrival.finish(hashlib.sha256(b"atad").hexdigest())
        assert caught.value.state is State.REFUSED
    assert list(tmp_path.iterdir()) == []


def test_more_than_was_announced_is_refused(tmp_path: pathlib.Path) -> None:
    with (
        Arrivals(str(tmp_path), several=False) as arrivals,
        arrivals.begin("n1", "x", 3, 0o644) as arrival,
        pytest.raises(FileFault, match="more came than the 3 bytes announced"),
    ):
        arrival.write(b"data")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", "a\0"])
def test_a_name_that_leads_out_is_refused(tmp_path: pathlib.Path, name: str) -> None:
    with Arrivals(str(tmp_path / "in"), several=False) as arrivals:
        for announce in (
            lambda: arrivals.begin("n1", name, 1, 0o644),
            lambda: arrivals.add_folder("n1", name, 0o755),
        ):
            with pytest.raises(FileFault) as caught:
                announce()
            assert caught.value.state is State.REFUSED
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("is_several", [False, True])
def test_a_link_inside_the_folder_is_not_followed(tmp_path: pathlib.Path, is_several: bool) -> None:
    outside = make(tmp_path / "outside", {"victim": b"mine"})
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link").symlink_to(outside)
    with Arrivals(str(tmp_path / "in"), several=is_several) as arrivals:
        if is_several:
            arrive(arrivals, "n1", "link/victim", b"evil")
            [result] = arrivals.place()
            assert (result.state, result.local) == (State.REFUSED, "")
            error = result.error
        else:
            with pytest.raises(FileFault) as caught:
                arrive(arrivals, "n1", "link/victim", b"evil")
            error = caught.value.text
    assert error == f"{tmp_path}/in/link is a symbolic link, which is not followed"
    assert tree(outside) == {"victim": (b"mine", 0o644)}


def test_a_link_that_stands_in_the_way_is_replaced_not_written_through(tmp_path: pathlib.Path) -> None:
    (tmp_path / "victim").write_bytes(b"mine")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x").symlink_to(tmp_path / "victim")
    with Arrivals(str(tmp_path / "in"), several=False) as arrivals:
        arrive(arrivals, "n1", "x", b"new")
    assert (tmp_path / "victim").read_bytes() == b"mine"
    assert tree(tmp_path / "in") == {"x": (b"new", 0o644)}


def test_a_folder_that_stands_in_the_way_is_said(tmp_path: pathlib.Path) -> None:
    make(tmp_path, {"x/kept": b"kept"})
    with Arrivals(str(tmp_path), several=False) as arrivals, pytest.raises(FileFault, match="is a directory"):
        arrive(arrivals, "n1", "x", b"new")
    assert tree(tmp_path) == {"x/kept": (b"kept", 0o644)}


def test_one_name_twice_from_one_node_is_said(tmp_path: pathlib.Path) -> None:
    with Arrivals(str(tmp_path), several=True) as arrivals:
        arrive(arrivals, "n1", "x", b"from a/")
        arrive(arrivals, "n1", "x", b"from a/")
        with pytest.raises(FileFault, match="two files of this node"):
            arrive(arrivals, "n1", "x", b"from b/")


def test_a_target_that_is_a_file_is_one_clear_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(GaxxError, match="is no folder that can be written"):
        Arrivals(str(tmp_path / "x"), several=False)


def test_what_a_killed_get_left_is_swept_away_and_a_living_one_is_left_alone(tmp_path: pathlib.Path) -> None:
    make(tmp_path, {".gaxx-get-dead/1": b"half"})
    os.utime(tmp_path / ".gaxx-get-dead", (0, 0))
    with Arrivals(str(tmp_path), several=True) as first:
        arrive(first, "n1", "x", b"x")
        with Arrivals(str(tmp_path), several=True):
            assert len(list(tmp_path.glob(".gaxx-get-*"))) == 2
        assert [result.state for result in first.place()] == [State.FETCHED]
    assert tree(tmp_path) == {"x": (b"x", 0o644)}


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file system of 1 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_file_that_cannot_fit_is_refused_before_it_comes(small_disk: pathlib.Path) -> None:
    with (
        Arrivals(str(small_disk), several=False) as arrivals,
        pytest.raises(NodeFault, match=r"no space left here: .*/big does not fit, \d+ bytes are free"),
    ):
        arrivals.begin("n1", "big", 2_000_000, 0o644)


def test_a_disk_that_fills_up_is_one_clear_error_and_leaves_no_half_file(small_disk: pathlib.Path) -> None:
    with (
        Arrivals(str(small_disk), several=False) as arrivals,
        arrivals.begin("n1", "big", 900_000, 0o644) as arrival,
    ):
        # Somebody else takes the room after it was asked for.
        (small_disk / "other").write_bytes(bytes(500_000))
        with pytest.raises(NodeFault, match="no space left here"):
            arrival.write(bytes(900_000))
    assert [path.name for path in small_disk.iterdir()] == ["other"]


def test_a_folder_on_another_disk_is_written_to_whole_as_well(tmp_path: pathlib.Path, small_disk: pathlib.Path) -> None:
    with Arrivals(str(tmp_path), several=False) as arrivals:
        arrive(arrivals, "n1", "small/x", b"across", mode=0o600)
    assert tree(small_disk) == {"x": (b"across", 0o600)}
