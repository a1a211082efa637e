"""`gaxx sync`: only what differs is sent, and only on request, and only where all arrived, is anything removed."""

import os
import pathlib

import pytest

from tests.tasks.files.places import home, ledger, make, tree
from tests.tasks.fleet import Fleet

pytestmark = pytest.mark.engine


@pytest.fixture(params=["agent", "ssh"])
def via(request: pytest.FixtureRequest) -> str:
    """The way there."""
    return str(request.param)


@pytest.fixture
def name(tmp_path: pathlib.Path) -> str:
    """A folder on the nodes that no other test uses."""
    return f"sync-{tmp_path.parent.name}-{tmp_path.name}"


def test_only_what_differs_is_sent(three: Fleet, tmp_path: pathlib.Path, name: str, via: str) -> None:
    src = make(tmp_path / "src", {"a": os.urandom(1_000_000), "sub/b": b"b", "c": os.urandom(4)})
    argv = ("sync", str(src), name, "--via", via, "--json")
    assert ledger(three.gaxx(*argv))["files"] == {"sent": 9}
    make(src, {"sub/b": os.urandom(1000)})
    make(home(three.machines["demo-3"]) / name, {"c": b"C", "extra": b"extra"})
    again = ledger(three.gaxx(*argv))
    assert (again["files"], again["moved_bytes"]) == ({"sent": 4, "unchanged": 5}, 3 * 1000 + 4)
    for node, machine in three.machines.items():
        extra = {"extra": (b"extra", 0o644)} if node == "demo-3" else {}
        assert tree(home(machine) / name) == {**tree(src), **extra}, "nothing is removed unasked"


def test_delete_makes_the_folder_the_same(three: Fleet, tmp_path: pathlib.Path, name: str, via: str) -> None:
    src = make(tmp_path / "src", {"a": os.urandom(9), "sub/b": os.urandom(9)})
    before = tree(src)
    (src / "empty").mkdir()
    folder = make(
        home(three.machines["demo-2"]) / name, {"old/deep/x": b"", "sub/-rf": b"", "sub/n\new": b"", "a/not": b""}
    )
    (folder / "a/not").unlink()
    (folder / "a").rmdir()
    (folder / "empty").mkdir()
    (folder / "way").symlink_to(tmp_path)
    answer = three.gaxx("sync", str(src), name, "--delete", "--via", via, "--json")
    assert answer.returncode == 0, answer.stderr
    assert ledger(answer)["files"] == {"removed": 6, "sent": 6}
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) == ["a", "empty", "sub", "sub/b"]
    assert tree(src) == before, "a link was removed, not what is behind it"


def test_nothing_is_removed_where_something_did_not_arrive(
    three: Fleet, tmp_path: pathlib.Path, name: str, via: str
) -> None:
    src = make(tmp_path / "src", {"a": b"a"})
    folder = make(home(three.machines["demo-1"]) / name, {"a/in/the/way": b"", "old": b""})
    answer = three.gaxx("sync", str(src), name, "--delete", "--via", via, "-n", "demo-1")
    assert answer.returncode == 2
    assert sorted(tree(folder)) == ["a/in/the/way", "old"]


def test_what_cannot_be_sent_protects_what_stands_in_its_place(
    three: Fleet, tmp_path: pathlib.Path, name: str, via: str
) -> None:
    src = make(tmp_path / "src", {"a": b"a"})
    (src / "link").symlink_to(tmp_path)
    folder = make(home(three.machines["demo-1"]) / name, {"link/x": b"x", "old": b""})
    answer = three.gaxx("sync", str(src), name, "--delete", "--via", via, "-n", "demo-1")
    assert answer.returncode == 0
    assert answer.stderr == f"gaxx: {name}/link: a link to a folder: left out\n".encode()
    assert sorted(tree(folder)) == ["a", "link/x"]


def test_an_empty_folder_empties_the_folder(three: Fleet, tmp_path: pathlib.Path, name: str, via: str) -> None:
    (tmp_path / "src").mkdir()
    folder = make(home(three.machines["demo-1"]) / name, {"x/y": b""})
    answer = three.gaxx("sync", f"{tmp_path}/src", name, "--delete", "--via", via)
    assert answer.returncode == 0, answer.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("target", [".", "./", "/"])
def test_delete_refuses_to_empty_what_is_not_its_own(three: Fleet, tmp_path: pathlib.Path, target: str) -> None:
    make(tmp_path / "src", {"a": b"a"})
    answer = three.gaxx("sync", f"{tmp_path}/src", target, "--delete")
    assert answer.returncode == 2
    assert b"name a folder of its own as DEST" in answer.stderr
