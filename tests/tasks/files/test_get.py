"""`gaxx get` on real agents and sshds, by either way: what was asked for, where it was said, checked."""

import os
import pathlib

import pytest

from tests.tasks.files.places import Answer, events, home, make, tree
from tests.tasks.fleet import Fleet

pytestmark = pytest.mark.engine


@pytest.fixture(params=["agent", "ssh"])
def via(request: pytest.FixtureRequest) -> str:
    """The way there."""
    return str(request.param)


@pytest.fixture
def name(tmp_path: pathlib.Path) -> str:
    """A folder on the nodes that no other test uses."""
    return f"get-{tmp_path.parent.name}-{tmp_path.name}"


def paths(answer: Answer, below: pathlib.Path) -> list[str]:
    """What stdout names, relative to a folder."""
    return sorted(str(pathlib.Path(os.fsdecode(line)).relative_to(below)) for line in answer.stdout.splitlines())


def test_a_glob_gives_what_its_last_part_names(three: Fleet, tmp_path: pathlib.Path, name: str, via: str) -> None:
    files = {"out/1.png": b"1", "out/2.png": os.urandom(3_000_000), "out/x.txt": b"x", "out/.3.png": b"hidden"}
    make(home(three.machines["demo-1"]) / name, files, mode=0o640)
    answer = three.gaxx("get", f"{name}/out/*.png", str(tmp_path / "pics"), "--via", via, "-n", "demo-1")
    assert answer.returncode == 0, answer.stderr
    assert paths(answer, tmp_path / "pics") == ["1.png", "2.png"]
    assert tree(tmp_path / "pics") == {"1.png": (b"1", 0o640), "2.png": (files["out/2.png"], 0o640)}
    over = b", over ssh" if via == "ssh" else b""
    assert answer.stderr == b"gaxx: demo-1 (1): 2 fetched, 2.9 MiB" + over + b"\n"


def test_a_folder_comes_with_all_in_it(three: Fleet, tmp_path: pathlib.Path, name: str, via: str) -> None:
    folder = make(home(three.machines["demo-1"]) / name, {"out/a/b/c": b"c", "out/.h": b"h"})
    (folder / "out/empty").mkdir(mode=0o700)
    answer = three.gaxx("get", f"{name}/out", str(tmp_path), "--via", via, "-n", "demo-1")
    assert answer.returncode == 0, answer.stderr
    assert tree(tmp_path / "out") == tree(folder / "out")
    assert (tmp_path / "out/empty").stat().st_mode & 0o777 == 0o700


def test_stars_of_any_depth_and_absolute_globs(three: Fleet, tmp_path: pathlib.Path, name: str, via: str) -> None:
    folder = make(home(three.machines["demo-1"]) / name, {"x/1.log": b"1", "x/y/2.log": b"2", "x/y/3.txt": b"3"})
    argv = ("get", f"{name}/**/*.log", f"{folder}/x/y/*.txt", str(tmp_path), "--via", via, "-n", "demo-1")
    answer = three.gaxx(*argv)
    assert answer.returncode == 0, answer.stderr
    assert sorted(tree(tmp_path)) == ["3.txt", "x/1.log", "x/y/2.log"]


def test_equal_files_are_one_and_different_ones_go_below_their_nodes(
    three: Fleet, tmp_path: pathlib.Path, name: str, via: str
) -> None:
    for node, machine in three.machines.items():
        make(home(machine) / name, {"same": b"same", "own": node.encode(), f"only-{node}": b""})
    answer = three.gaxx("get", f"{name}/*", str(tmp_path), "--via", via)
    assert answer.returncode == 0, answer.stderr
    nodes = ["demo-1", "demo-2", "demo-3"]
    expected = sorted(["same", *(f"{node}/own" for node in nodes), *(f"only-{node}" for node in nodes)])
    assert paths(answer, tmp_path) == expected
    assert sorted(tree(tmp_path)) == expected
    assert (tmp_path / "demo-2/own").read_bytes() == b"demo-2"


def test_what_is_missing_is_said_and_the_rest_comes(three: Fleet, tmp_path: pathlib.Path, name: str, via: str) -> None:
    make(home(three.machines["demo-2"]) / name, {"x": b"2", "y.log": b"y"})
    answer = three.gaxx("get", f"{name}/x", f"{name}/*.log", str(tmp_path), "--via", via)
    assert answer.returncode == 3
    assert sorted(tree(tmp_path)) == ["x", "y.log"], "a wildcard that means nothing on some nodes is no failure"
    assert f"gaxx: demo-[1,3]: {name}/x: no such file or folder\n".encode() in answer.stderr


def test_a_glob_that_matches_nowhere_is_a_failure(three: Fleet, tmp_path: pathlib.Path, name: str, via: str) -> None:
    answer = three.gaxx("get", f"{name}/*.zip", str(tmp_path), "--via", via)
    assert answer.returncode == 3
    assert f"gaxx: demo-[1-3]: {name}/*.zip: nothing matches\n".encode() in answer.stderr


def test_a_link_on_the_node_is_not_followed(three: Fleet, tmp_path: pathlib.Path, name: str, via: str) -> None:
    secret = make(tmp_path / "secret", {"key": b"secret"})
    folder = make(home(three.machines["demo-1"]) / name, {"plain": b"plain"})
    (folder / "link").symlink_to(secret / "key")
    (folder / "dir").symlink_to(secret)
    argv = ("--via", via, "-n", "demo-1", "--json")
    answer = three.gaxx("get", f"{name}/*", str(tmp_path / "in"), *argv)
    assert answer.returncode == 3
    states = {line["path"].rpartition("/")[2]: line["state"] for line in events(answer, "file")}
    assert states == {"plain": "fetched", "link": "failed", "dir": "failed"}
    through = three.gaxx("get", f"{name}/dir/key", str(tmp_path / "in"), *argv)
    assert through.returncode == 2
    assert tree(tmp_path / "in") == {"plain": (b"plain", 0o644)}


def test_what_was_put_comes_back_the_same(three: Fleet, tmp_path: pathlib.Path, name: str, via: str) -> None:
    make(tmp_path / "src", {"a": os.urandom(1_500_000), "b/c d": b"", "ü\n": b"odd"}, mode=0o751)
    assert three.gaxx("put", f"{tmp_path}/src", "--to", f"{name}/src", "--via", via).returncode == 0
    answer = three.gaxx("get", f"{name}/src", str(tmp_path / "back"), "--via", via)
    assert answer.returncode == 0, answer.stderr
    assert tree(tmp_path / "back/src") == tree(tmp_path / "src")


def test_without_a_target_nothing_is_asked(three: Fleet) -> None:
    answer = three.gaxx("get", "out/*.png")
    assert answer.returncode == 1
    assert answer.stderr == b"gaxx: say also where to: GLOB... DIR; see `gaxx get --help`\n"
