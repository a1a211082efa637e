"""Agents that are down, connections that break, people who change their minds: nothing half is ever left in place."""

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.tasks.files.places import events, home, ledger, make, tree
from tests.tasks.fleet import Fleet, Machine, fleet
from tests.waiting import until

pytestmark = pytest.mark.engine

BIG_BYTES = 120_000_000


@pytest.fixture
def two(tmp_path: pathlib.Path) -> Iterator[Fleet]:
    """Two nodes that may be broken."""
    with fleet(tmp_path, 2, sshd=True) as made:
        yield made


@pytest.fixture
def big(tmp_path: pathlib.Path) -> pathlib.Path:
    """A file that takes a while."""
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.write(os.urandom(1_000_000))
        file.truncate(BIG_BYTES)
    return path


def arrived(machine: Machine) -> int:
    """How much of a file is on its way onto a node."""
    return sum(path.stat().st_size for path in (machine.folder / "var/lib/gaxx/.cas").glob("*.part"))


def started(stack: Fleet, *argv: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "tasks.cli.main", *argv],
        cwd=stack.root, env=stack.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_where_an_agent_is_down_ssh_is_taken(two: Fleet, tmp_path: pathlib.Path) -> None:
    two.machines["demo-2"].kill_agent()
    src = make(tmp_path / "src", {"a": os.urandom(2_000_000), "b/c": b"c"})
    put = two.gaxx("put", str(src), "--json")
    assert put.returncode == 0, put.stderr
    assert {line["node"]: line["via"] for line in events(put, "node")} == {"demo-1": "agent", "demo-2": "ssh"}
    assert put.stderr == b"gaxx: demo-2: no agent (connection refused): trying SSH\n"
    for machine in two.machines.values():
        assert tree(home(machine) / "src") == tree(src), "relative paths begin at the same place by either way"
    get = two.gaxx("get", "src", str(tmp_path / "back"))
    assert get.returncode == 0, get.stderr
    assert tree(tmp_path / "back/src") == tree(src)
    make(home(two.machines["demo-2"]) / "src", {"extra": b""})
    sync = two.gaxx("sync", str(src), "--delete", "--json")
    assert ledger(sync)["files"] == {"removed": 1, "unchanged": 4}


def test_a_node_that_is_gone_is_said_and_the_others_are_served(two: Fleet, tmp_path: pathlib.Path) -> None:
    two.machines["demo-1"].kill_agent()
    two.machines["demo-1"].kill_sshd()
    make(tmp_path, {"x": b"x"})
    answer = two.gaxx("put", str(tmp_path / "x"), "--json")
    assert answer.returncode == 5
    [gone, there] = events(answer, "node")
    assert (gone["node"], gone["state"], gone["not_done"]) == ("demo-1", "unreachable", 1)
    assert gone["error"] == "agent: connection refused; SSH: connection refused"
    assert (there["node"], there["state"]) == ("demo-2", "ok")
    assert {name: ledger(answer)[name] for name in ("total", "ok", "skipped", "not_done")} == {
        "total": 2, "ok": 1, "skipped": 1, "not_done": 1,
    }  # fmt: skip


def test_what_a_killed_controller_had_sent_is_not_sent_again(two: Fleet, big: pathlib.Path) -> None:
    machine = two.machines["demo-1"]
    with started(two, "put", str(big), "-n", "demo-1") as controller:
        until(lambda: arrived(machine) > 10_000_000)
        controller.kill()
    assert not (home(machine) / "big").exists()
    until(lambda: _settled(machine))
    had = arrived(machine)
    answer = two.gaxx("put", str(big), "-n", "demo-1", "--json")
    assert answer.returncode == 0, answer.stderr
    assert ledger(answer)["moved_bytes"] == BIG_BYTES - had
    assert tree(home(machine))["big"][0] == big.read_bytes()
    assert arrived(machine) == 0


def _settled(machine: Machine) -> bool:
    # The agent still writes what it had received.
    before = arrived(machine)
    time.sleep(0.2)
    return arrived(machine) == before


def test_ctrl_c_ends_at_once_and_leaves_nothing_half(two: Fleet, big: pathlib.Path) -> None:
    machine = two.machines["demo-1"]
    with started(two, "put", str(big), "--json") as controller:
        until(lambda: arrived(machine) > 10_000_000)
        controller.send_signal(signal.SIGINT)
        stdout, stderr = controller.communicate(timeout=10)
    assert (controller.returncode, stderr) == (130, b"gaxx: stopping: what has arrived whole is kept\n")
    assert stdout.count(b'"state":"cancelled"') == 2
    assert b'"cancelled":2' in stdout
    assert not (home(machine) / "big").exists()


def test_an_agent_that_starts_anew_gets_the_rest(two: Fleet, big: pathlib.Path) -> None:
    machine = two.machines["demo-1"]
    machine.kill_sshd()  # no other way
    with started(two, "put", str(big), "-n", "demo-1", "--json") as controller:
        until(lambda: arrived(machine) > 10_000_000)
        machine.kill_agent()
        machine.start_agent()
        stdout, stderr = controller.communicate(timeout=30)
    assert controller.returncode == 0, stderr
    assert b"going on where it broke off" in stderr
    answer = subprocess.CompletedProcess([], 0, stdout, stderr)
    assert BIG_BYTES <= ledger(answer)["moved_bytes"] < 2 * BIG_BYTES - 10_000_000
    assert tree(home(machine))["big"][0] == big.read_bytes()


def test_an_agent_that_dies_under_way_is_replaced_by_ssh(two: Fleet, big: pathlib.Path) -> None:
    machine = two.machines["demo-1"]
    with started(two, "put", str(big), "-n", "demo-1", "--json") as controller:
        until(lambda: arrived(machine) > 10_000_000)
        machine.kill_agent()
        stdout, _ = controller.communicate(timeout=50)
    assert controller.returncode == 0, stdout
    assert b'"via":"ssh"' in stdout
    assert (home(machine) / "big").read_bytes() == big.read_bytes()


def test_a_half_sent_file_goes_on_over_ssh_and_a_wrong_half_is_thrown_away(two: Fleet, tmp_path: pathlib.Path) -> None:
    make(tmp_path, {"x": os.urandom(3_000_000)})
    argv = ("put", str(tmp_path / "x"), "--via", "ssh", "-n", "demo-1", "--json")
    digest = events(two.gaxx(*argv), "file")[0]["sha256"]
    folder = home(two.machines["demo-1"])
    for half, moved in (((tmp_path / "x").read_bytes()[:2_000_000], 1_000_000), (b"wrong" * 1000, 5_995_000)):
        (folder / "x").unlink()
        (folder / f".x.{digest[:16]}.part").write_bytes(half)
        answer = two.gaxx(*argv)
        assert ledger(answer)["moved_bytes"] == moved
        assert tree(folder) == {"x": ((tmp_path / "x").read_bytes(), 0o644)}


def test_a_get_that_is_interrupted_keeps_what_is_whole(two: Fleet, tmp_path: pathlib.Path) -> None:
    folder = make(home(two.machines["demo-1"]), {"out/a": b"whole"})
    with (folder / "out/b").open("wb") as file:
        file.truncate(BIG_BYTES * 5)
    target = tmp_path / "in"
    with started(two, "get", "out/*", str(target)) as controller:
        until(lambda: any(path.stat().st_size > 10_000_000 for path in target.glob(".gaxx-get-*/*")))
        controller.send_signal(signal.SIGINT)
        _, stderr = controller.communicate(timeout=10)
    assert controller.returncode == 130, stderr
    assert tree(target) == {"a": (b"whole", 0o644)}
    assert [path.name for path in target.iterdir()] == ["a"]


def test_a_dying_agent_within_a_get_is_replaced_by_ssh(two: Fleet, tmp_path: pathlib.Path) -> None:
    machine = two.machines["demo-1"]
    folder = make(home(machine), {"out/a": b"whole"})
    with (folder / "out/b").open("wb") as file:
        file.truncate(BIG_BYTES // 2)
    target = tmp_path / "in"
    with started(two, "get", "out/*", str(target), "-n", "demo-1", "--json") as controller:
        until(lambda: any(path.stat().st_size > 10_000_000 for path in target.glob(".gaxx-get-*/*")))
        machine.kill_agent()
        stdout, stderr = controller.communicate(timeout=50)
    assert controller.returncode == 0, stderr
    assert ledger(subprocess.CompletedProcess([], 0, stdout))["files"] == {"fetched": 2}
    assert {path.name: path.stat().st_size for path in target.iterdir()} == {"a": 5, "b": BIG_BYTES // 2}


def test_a_closed_pipe_ends_it_silently(two: Fleet, tmp_path: pathlib.Path) -> None:
    make(home(two.machines["demo-1"]), {f"many/{number}": b"" for number in range(3000)})
    with started(two, "get", "many", str(tmp_path / "in"), "-n", "demo-1") as controller:
        assert controller.stdout is not None
        assert controller.stderr is not None
        assert controller.stdout.readline().startswith(os.fsencode(tmp_path))
        controller.stdout.close()
        assert controller.stderr.read() == b""
    assert controller.returncode == 141
    assert not list((tmp_path / "in").glob(".gaxx-get-*"))
