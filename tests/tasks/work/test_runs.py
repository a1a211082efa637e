"""`gaxx runs`: what is left of runs, for people and for programs."""

import json
import pathlib
import sqlite3
from typing import Any

import pytest

from tests.tasks.fleet import Fleet
from tests.waiting import until

pytestmark = pytest.mark.engine


def lines(count: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(1, count + 1))


def run_id(fleet: Fleet, *argv: str, stdin: bytes) -> str:
    """Run a map to its end; return its name."""
    done = fleet.gaxx("map", "--json", *argv, stdin=stdin)
    name: str = json.loads(done.stdout.splitlines()[-1])["run"]
    return name


def shown(fleet: Fleet, *argv: str) -> list[dict[str, Any]]:
    done = fleet.gaxx("runs", *argv, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_run_is_listed_with_its_sum(three: Fleet) -> None:
    name = run_id(three, "--", "sh", "-c", 'test "$GAXX_ITEM" != 2', stdin=lines(5))
    (row,) = [row for row in shown(three) if row["run"] == name]
    assert (row["total"], row["ok"], row["bad"], row["left"], row["state"]) == (5, 4, 1, 0, "complete")
    assert name.encode() in three.gaxx("runs").stdout


def test_failures_are_folded_by_what_they_say(three: Fleet) -> None:
    script = "case $GAXX_ITEM in 1|3) echo same >&2; exit 2;; 2) kill -9 $$;; esac"
    name = run_id(three, "--", "sh", "-c", script, stdin=lines(6))
    (report,) = shown(three, "show", name)
    folds = [(fold["how"], fold["stderr"], fold["count"], fold["items"]) for fold in report["failures"]]
    assert [(how, stderr, count, sorted(items)) for how, stderr, count, items in folds] == [
        ("exit 2", "same\n", 2, [0, 2]),
        ("signal 9", "", 1, [1]),
    ]
    assert report["ledger"] == {"total": 6, "ok": 3, "failed": 3, "quarantined": 0, "skipped": 0, "cancelled": 0}
    text = three.gaxx("runs", "show", name).stdout.decode()
    assert "2 failed alike (exit 2): items" in text
    assert "| same" in text


def test_what_was_tried_again_with_success_is_no_failure_any_more(three: Fleet, tmp_path: pathlib.Path) -> None:
    flag = tmp_path / "there"
    name = run_id(three, "--", "sh", "-c", f"test -e {flag}", stdin=lines(3))
    (report,) = shown(three, "show", name)
    assert [fold["count"] for fold in report["failures"]] == [3]
    flag.touch()
    assert three.gaxx("runs", "attach", "--retry-failed", name).returncode == 0
    (report,) = shown(three, "show", name)
    assert (report["ledger"]["ok"], report["failures"]) == (3, [])


def test_the_slowest_items_are_named(three: Fleet) -> None:
    name = run_id(three, "--", "sh", "-c", 'test "$GAXX_ITEM" != 4 || sleep 0.5', stdin=lines(9))
    (report,) = shown(three, "show", name)
    assert report["slowest"][0]["index"] == 3
    assert report["slowest"][0]["wall_s"] >= 0.5


def test_a_run_says_where_it_comes_from(three: Fleet) -> None:
    name = run_id(three, "--env", "A=b", "--", "true", "{}", stdin=lines(1))
    (report,) = shown(three, "show", name)
    manifest = report["manifest"]
    assert (manifest["stack"]["name"], manifest["options"]["argv"]) == ("demo", ["true", "{}"])
    assert len(manifest["identity"]) == 64
    assert {node["name"] for node in manifest["provenance"]["nodes"]} == set(three.machines)
    assert {"git", "update", "user", "controller"} <= set(manifest["provenance"])


def test_one_items_timeline_tells_everything(three: Fleet) -> None:
    script = 'echo oops >&2; test "$1" = a'
    name = run_id(three, "--attempts", "3", "--", "sh", "-c", script, "sh", "{}", stdin=b"a\nb\n")
    steps = [step["text"] for step in shown(three, "explain", name, "b")]
    assert steps[0].startswith("item 2 is b'b'")
    assert any("attempt 1 starts on demo-" in step for step in steps)
    assert any("failed, to be tried again" in step for step in steps)
    assert any("quarantined" in step for step in steps)
    assert any("stderr (5 bytes): 'oops\\n'" in step for step in steps)
    assert shown(three, "explain", name, "2") == shown(three, "explain", name, "b")
    missing = three.gaxx("runs", "explain", name, "nothing")
    assert (missing.returncode, b"numbered 1 to 2" in missing.stderr) == (1, True)


def test_two_runs_are_compared_by_their_items(three: Fleet) -> None:
    before = run_id(three, "--", "sh", "-c", 'echo "$1" | tr 3 x; test "$1" != 1', "sh", "{}", stdin=lines(4))
    after = run_id(three, "--", "sh", "-c", 'echo "$1"; test "$1" != 2', "sh", "{}", stdin=b"9\n4\n3\n2\n1\n")
    (diff,) = shown(three, "diff", before, after)
    kinds = ("newly_failing", "newly_passing", "output_changed", "gone", "new")
    assert {kind: diff[kind]["examples"] for kind in kinds} == {
        "newly_failing": [4],
        "newly_passing": [5],
        "output_changed": [3],
        "gone": [],
        "new": [1],
    }
    assert b"no difference" in three.gaxx("runs", "diff", before, before).stdout


def test_a_run_elsewhere_is_cancelled_and_can_be_gone_on_with(three: Fleet, tmp_path: pathlib.Path) -> None:
    left = three.gaxx("map", "--detach", "--", "sh", "-c", f"touch {tmp_path}/began; sleep 0.3", stdin=lines(60))
    name = left.stdout.decode().strip()
    until((tmp_path / "began").exists)
    assert [row["state"] for row in shown(three) if row["run"] == name] == ["running"]
    assert three.gaxx("runs", "cancel", name).returncode == 0
    until(lambda: [row["state"] for row in shown(three) if row["run"] == name] == ["cancelled"])
    again = three.gaxx("runs", "attach", name, "--json")
    ledger = json.loads(again.stdout.splitlines()[-1])
    assert (again.returncode, ledger["ok"]) == (0, 60), again.stderr
    nobody = three.gaxx("runs", "cancel", name)
    assert (nobody.returncode, b"nobody drives" in nobody.stderr) == (1, True)


def test_a_run_has_one_controller_at_a_time(three: Fleet, tmp_path: pathlib.Path) -> None:
    argv = ["--journal", str(tmp_path / "journal"), "--", "sh", "-c", f"touch {tmp_path}/began; sleep 4"]
    left = three.gaxx("map", "--detach", *argv, stdin=lines(8))
    until((tmp_path / "began").exists)
    second = three.gaxx("map", "--resume", *argv, stdin=lines(8))
    assert (second.returncode, b"is being driven by process" in second.stderr) == (1, True)
    assert three.gaxx("runs", "attach", left.stdout.decode().strip()).returncode == 0


def test_a_name_that_fits_several_or_no_runs_is_refused(three: Fleet) -> None:
    for _ in range(2):
        run_id(three, "--", "true", stdin=lines(1))
    assert b"several runs fit '20'" in three.gaxx("runs", "show", "20").stderr
    assert b"no run is called 'nothing'" in three.gaxx("runs", "show", "nothing").stderr


def test_sqlite_knows_window_functions() -> None:
    # Inputs are compared with them; 3.25 and later have them.
    assert sqlite3.sqlite_version_info >= (3, 25)
