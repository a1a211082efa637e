"""`gaxx put` on real agents and sshds, by either way: whole or not at all, once, and never through a link."""

import os
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from tests.tasks.files.places import events, home, ledger, make, tree
from tests.tasks.fleet import Fleet

pytestmark = pytest.mark.engine


@pytest.fixture(params=["agent", "ssh"])
def via(request: pytest.FixtureRequest) -> str:
    """The way there."""
    return str(request.param)


@pytest.fixture
def name(tmp_path: pathlib.Path) -> str:
    """A folder on the nodes that no other test uses."""
    return f"put-{tmp_path.parent.name}-{tmp_path.name}"


def test_a_folder_arrives_on_every_node_with_content_and_modes(
    three: Fleet, tmp_path: pathlib.Path, name: str, via: str
) -> None:
    make(tmp_path / "src", {"a": os.urandom(9), "sub/run.sh": os.urandom(9), "ü b\n": os.urandom(9), "empty": b""})
    make(tmp_path / "src", {"-x": os.urandom(9)})
    make(tmp_path / "src", {"big": os.urandom(3_000_000)}, mode=0o600)
    (tmp_path / "src/sub/run.sh").chmod(0o750)
    answer = three.gaxx("put", str(tmp_path / "src"), f"{name}/", "--via", via)
    over = ", over ssh" if via == "ssh" else ""
    assert (answer.returncode, answer.stderr) == (0, b"")
    assert answer.stdout == f"demo-[1-3] (3): 6 sent, 2.9 MiB{over}\n".encode()
    for machine in three.machines.values():
        assert tree(home(machine) / name / "src") == tree(tmp_path / "src")


def test_what_a_node_has_is_not_sent_again(three: Fleet, tmp_path: pathlib.Path, name: str, via: str) -> None:
    make(tmp_path, {"x": os.urandom(2_000_000), "y": os.urandom(4)})
    argv = ("put", str(tmp_path / "x"), str(tmp_path / "y"), f"{name}/", "--via", via, "--json")
    assert ledger(three.gaxx(*argv))["moved_bytes"] == 3 * 2_000_004
    (home(three.machines["demo-2"]) / name / "x").write_bytes(b"changed there")
    (tmp_path / "y").chmod(0o700)
    again = three.gaxx(*argv)
    # An agent knows content by its digest, wherever it lies; SFTP knows only the place.
    assert ledger(again)["moved_bytes"] == 2_000_000
    assert ledger(again)["files"] == {"sent": 1, "unchanged": 5}
    for machine in three.machines.values():
        assert tree(home(machine) / name) == {
            "x": ((tmp_path / "x").read_bytes(), 0o644),
            "y": ((tmp_path / "y").read_bytes(), 0o700),
        }


def test_the_same_content_under_another_name_is_not_sent_by_agent(
    three: Fleet, tmp_path: pathlib.Path, name: str
) -> None:
    make(tmp_path, {"x": os.urandom(2_000_000)})
    assert three.gaxx("put", str(tmp_path / "x"), f"{name}/").returncode == 0
    answer = three.gaxx("put", str(tmp_path / "x"), "--to", f"{name}/deep/other", "--json")
    assert ledger(answer)["moved_bytes"] == 0
    assert tree(home(three.machines["demo-1"]) / name / "deep") == {"other": ((tmp_path / "x").read_bytes(), 0o644)}


def test_events_tell_each_file_of_each_node(three: Fleet, tmp_path: pathlib.Path, name: str) -> None:
    make(tmp_path, {"x": b"abc"})
    answer = three.gaxx("put", str(tmp_path / "x"), f"{name}/", "--json", "-n", "demo-[1,3]")
    assert {line["node"]: (line["path"], line["state"], line["sha256"][:8]) for line in events(answer, "file")} == {
        "demo-1": (f"{name}/x", "sent", "ba7816bf"),
        "demo-3": (f"{name}/x", "sent", "ba7816bf"),
    }
    assert [(line["node"], line["state"], line["via"]) for line in events(answer, "node")] == [
        ("demo-1", "ok", "agent"),
        ("demo-3", "ok", "agent"),
    ]


def test_a_link_on_the_node_is_refused(three: Fleet, tmp_path: pathlib.Path, name: str, via: str) -> None:
    make(tmp_path, {"x": b"evil"})
    outside = make(tmp_path / "outside", {"x": b"mine"})
    folder = home(three.machines["demo-1"]) / name
    folder.mkdir(parents=True)
    (folder / "way").symlink_to(outside)
    (folder / "x").symlink_to(outside / "x")
    for target in (f"{name}/way/", f"{name}/"):
        answer = three.gaxx("put", str(tmp_path / "x"), target, "--via", via, "-n", "demo-1")
        assert answer.returncode == 2
        assert b"is a symbolic link, which is not followed\n" in answer.stderr
    assert tree(outside) == {"x": (b"mine", 0o644)}


def test_a_path_that_climbs_is_refused_before_anybody_is_asked(three: Fleet, tmp_path: pathlib.Path) -> None:
    make(tmp_path, {"x": b""})
    answer = three.gaxx("put", str(tmp_path / "x"), "--to", "../x")
    assert answer.returncode == 2
    assert answer.stderr.startswith(b"gaxx: ../x: a path on a node may contain neither '..'")
    assert len(answer.stderr.splitlines()) == 1


def test_a_folder_in_the_way_is_refused_and_the_others_arrive(
    three: Fleet, tmp_path: pathlib.Path, name: str, via: str
) -> None:
    make(tmp_path / "src", {"a": os.urandom(9), "b": b"b of " + name.encode()})
    make(home(three.machines["demo-2"]) / name, {"a/kept": b"kept"})
    answer = three.gaxx("put", f"{tmp_path}/src/a", f"{tmp_path}/src/b", f"{name}/", "--via", via)
    assert answer.returncode == 2
    assert b"is no regular file\n" in answer.stderr
    assert b"demo-2 (1): 1 refused, 1 sent" in answer.stderr
    assert answer.stdout.startswith(b"demo-[1,3] (2): 2 sent")
    assert tree(home(three.machines["demo-2"]) / name) == {
        "a/kept": (b"kept", 0o644),
        "b": (b"b of " + name.encode(), 0o644),
    }


@pytest.fixture
def small_disk(three: Fleet, name: str) -> Iterator[pathlib.Path]:
    """A folder of demo-2 is a file system of 1 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = home(three.machines["demo-2"]) / name
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_one_clear_error_of_that_node_and_leaves_no_half_file(
    three: Fleet, small_disk: pathlib.Path, tmp_path: pathlib.Path, name: str, via: str
) -> None:
    make(tmp_path / "src", {"a-big": os.urandom(3_000_000), "b": os.urandom(9), "c": os.urandom(9)})
    answer = three.gaxx("put", f"{tmp_path}/src", "--to", name, "--via", via)
    assert answer.returncode == 3
    [line] = answer.stderr.splitlines()
    assert line.startswith(
        f"gaxx: demo-2 (1): failed: no space left on the node: {name}/a-big has 3000000 bytes".encode()
    )
    assert answer.stdout.startswith(b"demo-[1,3] (2): 3 sent")
    assert "a-big" not in tree(small_disk)
    assert all(not path.name.startswith(".") for path in small_disk.rglob("*"))


def test_a_file_that_changes_under_way_is_said_and_not_stored(three: Fleet, tmp_path: pathlib.Path, name: str) -> None:
    # It is never the same: what is hashed is not what is sent.
    big = make(tmp_path, {"big": bytes(400_000_000)}) / "big"
    with subprocess.Popen(["sh", "-c", 'while :; do echo x >> "$1"; done', "sh", str(big)]) as writer:
        answer = three.gaxx("put", str(big), f"{name}/", "-n", "demo-1")
        writer.kill()
    assert answer.returncode == 3
    assert b"big: changed while it was sent" in answer.stderr
    assert not (home(three.machines["demo-1"]) / name / "big").exists()
