"""`gaxx map` as a user calls it, on real agents: items as they are, exact ledgers, exit codes that tell the truth."""

import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.tasks.fleet import Fleet
from tests.waiting import until

pytestmark = pytest.mark.engine

Done = subprocess.CompletedProcess[bytes]


def ledger(done: Done) -> dict[str, Any]:
    """The ledger that `--json` ends with."""
    last: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert last["event"] == "ledger"
    assert last["total"] == sum(last[name] for name in ("ok", "failed", "quarantined", "skipped", "cancelled"))
    return last


def counts(done: Done) -> tuple[int, ...]:
    """Total, ok, failed, quarantined, skipped, cancelled."""
    last = ledger(done)
    return tuple(last[name] for name in ("total", "ok", "failed", "quarantined", "skipped", "cancelled"))


def events(done: Done, kind: str = "item") -> list[dict[str, Any]]:
    """The events of one kind."""
    return [event for line in done.stdout.splitlines() if (event := json.loads(line))["event"] == kind]


def start(fleet: Fleet, *argv: str, given: bytes) -> "subprocess.Popen[bytes]":
    """Start a map that is to be disturbed; its input fits into a pipe."""
    reader, writer = os.pipe()
    os.write(writer, given)
    os.close(writer)
    with os.fdopen(reader, "rb") as source:
        return subprocess.Popen(
            [sys.executable, "-m", "tasks.cli.main", "map", *argv], cwd=fleet.root, env=fleet.environ,
            stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip


def read_line(running: "subprocess.Popen[bytes]") -> bytes:
    """Read one line of its stdout."""
    assert running.stdout is not None
    return running.stdout.readline()


def lines(count: int) -> bytes:
    """An input of numbers."""
    return b"".join(b"%d\n" % number for number in range(1, count + 1))


def test_each_item_is_executed_once_and_its_output_printed_whole(three: Fleet) -> None:
    done = three.gaxx("map", "--", "sh", "-c", 'echo "$1 begins"; echo "$1 ends"', "sh", "{}", stdin=lines(300))
    assert done.returncode == 0, done.stderr
    printed = done.stdout.decode().splitlines()
    pairs = list(zip(printed[::2], printed[1::2], strict=True))
    assert sorted(int(first.split()[0]) for first, _ in pairs) == list(range(1, 301))
    assert all(first.split()[0] == last.split()[0] for first, last in pairs)
    assert b"300 items: 300 ok" in done.stderr


def test_all_nodes_take_part(three: Fleet) -> None:
    done = three.gaxx("map", "--json", "--", "sleep", "0.02", stdin=lines(60))
    assert {event["node"] for event in events(done)} == set(three.machines)


NASTY = [
    b"with spaces", b"it's \"quoted\"", b"new\nline", b"\xff\xfe not UTF-8", b"--option", b"-n", b"{}", b"{.}{/}",
    b"$(id)", b"`id`", b"*", b"", b"\\", b"twice", b"twice", b"a;b|c&d", "schön".encode(), b"tab\there",
]  # fmt: skip


def test_items_are_taken_as_they_are_byte_for_byte(three: Fleet, tmp_path: pathlib.Path) -> None:
    source = tmp_path / "items"
    source.write_bytes(b"\0".join(NASTY) + b"\0")
    argv = ["map", "-0", "-k", "-a", str(source), "--", "printf", "%s\\001", "{}"]
    done = three.gaxx(*argv)
    assert (done.returncode, done.stdout.split(b"\1")[:-1]) == (0, NASTY)
    done = three.gaxx(*argv[:-3], "sh", "-c", 'printf "%s\\001" "$GAXX_ITEM"')
    assert done.stdout.split(b"\1")[:-1] == NASTY


def test_an_item_of_a_megabyte_comes_on_stdin(three: Fleet) -> None:
    item = b"x" * (1 << 20)
    done = three.gaxx("map", "-k", "--", "sh", "-c", 'wc -c; wc -c < "$GAXX_ITEM_FILE"', stdin=item + b"\nshort\n")
    assert done.stdout.split()[:2] == [b"1048576", b"1048576"]
    done = three.gaxx("map", "--json", "--", "echo", "{}", stdin=item + b"\nshort\n")
    assert (done.returncode, counts(done)) == (3, (2, 1, 1, 0, 0, 0))
    assert "the kernel takes" in events(done)[0].get("error", "") + events(done)[1].get("error", "")


def test_a_placeholder_in_a_shell_script_is_refused_with_the_way_to_do_it(three: Fleet) -> None:
    done = three.gaxx("map", "--", "sh", "-c", "echo {}", stdin=b"x\n")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"$GAXX_ITEM" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_with_shell_the_script_gets_the_item_as_data(three: Fleet) -> None:
    done = three.gaxx("map", "--shell", "--", "echo {} | tr a-z A-Z", stdin=b"a; id\n")
    assert done.stdout == b"A; ID\n"


def test_a_chunk_is_one_item_of_several_lines(three: Fleet) -> None:
    done = three.gaxx("map", "--chunk", "3", "-k", "--", "echo", "{#}:", "{}", stdin=b"a\nb b\nc\nd\n")
    assert done.stdout == b"1: a b b c\n2: d\n"


def test_failed_items_are_told_from_bad_ones(three: Fleet) -> None:
    script = 'test "$GAXX_ITEM" != 7 || { echo broken >&2; exit 9; }'
    once = three.gaxx("map", "--json", "--", "sh", "-c", script, stdin=lines(20))
    assert (once.returncode, counts(once)) == (3, (20, 19, 1, 0, 0, 0))
    (bad,) = [event for event in events(once) if event["state"] != "ok"]
    assert (bad["index"], bad["exit"], bad["stderr"], bad["attempt"]) == (6, 9, "broken\n", 1)
    thrice = three.gaxx("map", "--json", "--attempts", "3", "--", "sh", "-c", script, stdin=lines(20))
    assert (thrice.returncode, counts(thrice)) == (3, (20, 19, 0, 1, 0, 0))
    (bad,) = [event for event in events(thrice) if event["state"] != "ok"]
    assert bad["attempt"] == 2


def test_a_node_on_which_everything_fails_is_cordoned_and_costs_no_item(three: Fleet) -> None:
    script = 'sleep 0.02; test "$GAXX_NODE" != demo-2'
    done = three.gaxx("map", "--json", "--", "sh", "-c", script, stdin=lines(200))
    assert (done.returncode, counts(done)) == (0, (200, 200, 0, 0, 0, 0)), done.stdout[-2000:]
    assert any("demo-2 is cordoned" in note["text"] for note in events(done, "note"))


def test_items_that_take_too_long_are_ended(three: Fleet) -> None:
    done = three.gaxx("map", "--json", "--timeout", "0.3", "--", "sleep", "{}", stdin=b"0\n30\n")
    assert counts(done) == (2, 1, 1, 0, 0, 0)
    assert [event["class"] for event in events(done) if event["state"] == "failed"] == ["timeout"]


def test_a_time_limit_can_follow_the_median(three: Fleet) -> None:
    source = b"30\n" + b"0.2\n" * 12
    done = three.gaxx("map", "--json", "--no-speculate", "--timeout", "400%", "--", "sleep", "{}", stdin=source)
    assert counts(done) == (13, 12, 1, 0, 0, 0)
    (late,) = (event for event in events(done) if event["state"] == "failed")
    assert (late["index"], late["class"]) == (0, "timeout")


def test_a_run_ends_with_why_its_items_failed(three: Fleet) -> None:
    done = three.gaxx("map", "-n", "demo-1", "--", "no-such-program", "{}", stdin=lines(2))
    assert done.returncode == 3
    told = done.stderr.decode().splitlines()
    assert told[0].startswith(
        "gaxx: items 1, 2 failed: could not be started on demo-1: no-such-program: command not found"
    )
    assert "2 items: 2 failed in" in told[1]
    assert len(told) == 2


def test_who_forgets_the_shell_of_a_map_is_told_how_to_say_it(three: Fleet) -> None:
    done = three.gaxx("map", "echo {}", stdin=lines(1))
    assert b"no shell is implied: --shell makes it a script" in done.stderr
    again = three.gaxx("map", "--shell", "echo {}", stdin=lines(1))
    assert (again.stdout, b"no shell" in again.stderr) == (b"1\n", False)


def test_halting_soon_lets_what_runs_finish_and_skips_the_rest(three: Fleet) -> None:
    argv = ["--halt", "soon,fail=1", "--", "sh", "-c", "sleep 0.1; exit 1"]
    done = three.gaxx("map", "--json", *argv, stdin=lines(100))
    total, ok, failed, _, skipped, cancelled = counts(done)
    assert (done.returncode, total, ok, cancelled) == (4, 100, 0, 0)
    assert 1 <= failed <= 12
    assert skipped == 100 - failed


def test_halting_now_ends_what_runs(three: Fleet) -> None:
    begin = time.monotonic()
    script = 'test "$GAXX_ITEM" = 1 && exit 1; sleep 60'
    done = three.gaxx("map", "--json", "--halt", "now,fail=1", "--", "sh", "-c", script, stdin=lines(6))
    assert (done.returncode, counts(done)[2]) == (4, 1)
    assert time.monotonic() - begin < 20


def test_the_canary_goes_first_and_alone(three: Fleet) -> None:
    done = three.gaxx("map", "--json", "--canary", "4", "--", "sleep", "0.05", stdin=lines(40))
    assert counts(done)[1] == 40
    first = [event for event in events(done) if event["index"] < 4]
    assert len({event["node"] for event in first}) == 1
    dead = three.gaxx("map", "--json", "--canary", "4", "--", "false", stdin=lines(40))
    assert dead.returncode == 4
    assert counts(dead)[2] <= 4


def test_the_rate_holds_over_the_whole_fleet(three: Fleet) -> None:
    begin = time.monotonic()
    done = three.gaxx("map", "--json", "--rate", "20", "--", "true", stdin=lines(50))
    assert counts(done)[1] == 50
    assert time.monotonic() - begin > 1.4


def test_a_shuffled_run_hands_out_in_the_seeds_order_and_prints_in_the_inputs(three: Fleet) -> None:
    argv = ["-n", "demo-1", "--slots", "1", "--shuffle", "7", "-k"]
    done = three.gaxx("map", *argv, "--", "echo", "{}", stdin=lines(40))
    assert done.stdout == lines(40)


def test_files_come_back_under_their_own_names(three: Fleet) -> None:
    script = 'mkdir -p out; head -c "$GAXX_ITEM" /dev/zero > "out/$GAXX_ITEM.bin"'
    done = three.gaxx("map", "--return", "out/{}.bin", "--", "sh", "-c", script, stdin=b"5\n100000\n0\n")
    assert done.returncode == 0, done.stderr
    sizes = {path.name: path.stat().st_size for path in (three.root / "out").iterdir()}
    assert sizes == {"5.bin": 5, "100000.bin": 100_000, "0.bin": 0}


def test_files_of_one_name_come_back_into_a_folder_an_item(three: Fleet, tmp_path: pathlib.Path) -> None:
    done = three.gaxx(
        "map", "--isolate", "--results", str(tmp_path / "res"), "--return", "*.txt", "--",
        "sh", "-c", 'echo "$GAXX_ITEM" > answer.txt; echo said; echo complained >&2', stdin=b"a\nb\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {str(path.relative_to(tmp_path / "res")): path.read_text() for path in (tmp_path / "res").rglob("*.*")}
    assert found == {"1/answer.txt": "a\n", "2/answer.txt": "b\n"}
    assert (tmp_path / "res/2/item").read_bytes() == b"b"
    assert (tmp_path / "res/1/stdout").read_text() == "said\n"
    assert (tmp_path / "res/1/stderr").read_text() == "complained\n"


def test_an_item_whose_file_is_missing_has_failed(three: Fleet) -> None:
    done = three.gaxx("map", "--json", "--return", "no-{}.png", "--", "true", stdin=b"x\n")
    assert (done.returncode, counts(done)) == (3, (1, 0, 1, 0, 0, 0))
    assert events(done)[0]["error"] == "no-x.png: no such file"


def test_what_is_not_done_is_resumed_and_what_failed_only_when_asked(three: Fleet, tmp_path: pathlib.Path) -> None:
    record, marks = tmp_path / "journal", tmp_path / "marks"
    script = f'echo "$GAXX_ITEM" >> {marks}; test -e {tmp_path}/fixed || test "$GAXX_ITEM" != 3'
    argv = ["--journal", str(record), "--json", "--", "sh", "-c", script]
    assert counts(three.gaxx("map", "--halt", "soon,fail=1", "-n", "demo-1", *argv, stdin=lines(9)))[2] == 1
    again = three.gaxx("map", "--resume", *argv, stdin=lines(9))
    assert (again.returncode, counts(again)) == (3, (9, 8, 1, 0, 0, 0))
    (tmp_path / "fixed").touch()
    assert three.gaxx("map", "--resume", *argv, stdin=lines(9)).returncode == 3
    last = three.gaxx("map", "--retry-failed", *argv, stdin=lines(9))
    assert (last.returncode, counts(last)) == (0, (9, 9, 0, 0, 0, 0))
    executed = collections.Counter(marks.read_text().split())
    assert executed == {**{str(number): 1 for number in range(1, 10)}, "3": 2}


def test_another_input_keeps_what_its_items_have_in_common_with_the_old(three: Fleet, tmp_path: pathlib.Path) -> None:
    marks = tmp_path / "marks"
    argv = ["--journal", str(tmp_path / "j"), "--json", "--", "sh", "-c", f'echo "$GAXX_ITEM" >> {marks}']
    assert counts(three.gaxx("map", *argv, stdin=b"a\nb\nb\nc\n"))[1] == 4
    assert counts(three.gaxx("map", "--resume", *argv, stdin=b"new\nb\na\nb\nb\n")) == (5, 5, 0, 0, 0, 0)
    assert counts(three.gaxx("map", "--resume", *argv, stdin=b"c\nnew\n")) == (2, 2, 0, 0, 0, 0)
    assert collections.Counter(marks.read_text().split()) == {"a": 1, "b": 3, "c": 2, "new": 1}


def test_a_run_is_not_gone_on_with_when_command_or_environment_are_others(three: Fleet, tmp_path: pathlib.Path) -> None:
    record = ["--journal", str(tmp_path / "j")]
    assert three.gaxx("map", *record, "--", "true", "{}", stdin=b"a\n").returncode == 0
    for changed in (["--", "echo", "{}"], ["--env", "A=b", "--", "true", "{}"], ["--chunk", "2", "--", "true", "{}"]):
        refused = three.gaxx("map", "--resume", *record, *changed, stdin=b"a\n")
        assert refused.returncode == 2, refused.stderr
        assert b"--allow-changed" in refused.stderr
    allowed = three.gaxx("map", "--resume", "--allow-changed", *record, "--", "echo", "{}", stdin=b"a\nb\n")
    assert (allowed.returncode, allowed.stdout) == (0, b"b\n")


def test_a_reader_that_goes_away_ends_the_run_silently(three: Fleet) -> None:
    running = start(three, "--", "sh", "-c", 'echo "$GAXX_ITEM"; sleep 0.02', given=lines(5000))
    read_line(running)
    assert running.stdout is not None
    running.stdout.close()
    running.stdout = None
    _, err = running.communicate(timeout=20)
    assert (running.returncode, err) == (141, b"")


def test_control_c_once_lets_what_runs_finish_and_twice_ends_it(three: Fleet, tmp_path: pathlib.Path) -> None:
    for times, script in ((1, f"touch {tmp_path}/began; sleep 1; echo done"), (2, f"touch {tmp_path}/began; sleep 60")):
        (tmp_path / "began").unlink(missing_ok=True)
        running = start(three, "--json", "--", "sh", "-c", script, given=lines(30))
        until((tmp_path / "began").exists)
        for _ in range(times):
            running.send_signal(signal.SIGINT)
            time.sleep(0.3)
        out, _ = running.communicate(timeout=30)
        done = Done([], running.wait(), out, b"")
        _, ok, _, _, skipped, cancelled = counts(done)
        assert done.returncode == 130
        assert (ok > 0, skipped, ok + cancelled) == (times == 1, 0, 30)


def test_an_endless_input_is_worked_on_while_it_comes(three: Fleet) -> None:
    argv = [sys.executable, "-m", "tasks.cli.main", "map", "--", "echo", "{}"]
    with subprocess.Popen(
        argv, cwd=three.root, env=three.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        assert running.stdin is not None
        for number in range(3):
            running.stdin.write(b"%d\n" % number)
            running.stdin.flush()
            assert read_line(running) == b"%d\n" % number
        running.stdin.close()
        assert running.wait(20) == 0


def test_a_gigantic_output_starves_nobody_and_is_cut_with_a_note(three: Fleet) -> None:
    script = 'if test "$GAXX_ITEM" = 1; then head -c 200000000 /dev/zero; else echo "$GAXX_ITEM"; fi'
    done = three.gaxx("map", "--json", "--output-limit", "1", "--", "sh", "-c", script, stdin=lines(200))
    assert counts(done) == (200, 200, 0, 0, 0, 0)
    by_index = {event["index"]: event for event in events(done)}
    assert by_index[0]["stdout_bytes"] == 200_000_000
    assert "cut" in by_index[0]
    order = [event["index"] for event in events(done)]
    assert order.index(0) > 20


def test_a_run_left_in_the_background_is_shown_and_finished(three: Fleet) -> None:
    left = three.gaxx("map", "--detach", "--", "sh", "-c", 'sleep 0.05; echo "out $GAXX_ITEM"', stdin=lines(40))
    run_id = left.stdout.decode().strip()
    assert left.returncode == 0, left.stderr
    shown = three.gaxx("runs", "attach", run_id)
    assert shown.returncode == 0, shown.stderr
    assert sorted(shown.stdout.decode().splitlines()) == sorted(f"out {number}" for number in range(1, 41))


def test_a_run_whose_controller_was_killed_is_gone_on_with(nodes: Fleet) -> None:
    running = start(nodes, "--", "sh", "-c", "sleep 0.1; echo x", given=lines(60))
    read_line(running)
    running.kill()
    running.communicate()
    done = nodes.gaxx("runs", "attach", "last", "--json")
    assert (done.returncode, counts(done)) == (0, (60, 60, 0, 0, 0, 0)), done.stderr


def test_a_node_that_joins_takes_work_and_one_that_leaves_gets_none(three: Fleet) -> None:
    all_nodes = three.known
    three.rewrite(all_nodes._replace(nodes=all_nodes.nodes[:1]))
    running = start(three, "--json", "--", "sleep", "0.2", given=lines(60))
    while b'"item"' not in read_line(running):
        pass
    three.rewrite(all_nodes._replace(nodes=all_nodes.nodes[1:]))
    out, _ = running.communicate(timeout=50)
    done = Done([], running.returncode, out, b"")
    assert counts(done)[:2] == (60, 60)
    by_node = collections.Counter(event["node"] for event in events(done))
    assert by_node["demo-2"] > 3
    assert by_node["demo-3"] > 3
    assert by_node["demo-1"] < 40


def test_when_all_nodes_are_gone_the_run_says_so_and_can_be_resumed(nodes: Fleet, tmp_path: pathlib.Path) -> None:
    argv = ["--json", "--journal", str(tmp_path / "j"), "--", "sleep", "0.05"]
    for machine in nodes.machines.values():
        machine.kill_agent()
    gone = nodes.gaxx("map", "--lease", "1", *argv, stdin=lines(10))
    assert (gone.returncode, counts(gone)) == (5, (10, 0, 0, 0, 10, 0)), gone.stderr
    for machine in nodes.machines.values():
        machine.start_agent()
    again = nodes.gaxx("map", "--resume", *argv, stdin=lines(10))
    assert (again.returncode, counts(again)) == (0, (10, 10, 0, 0, 0, 0)), again.stderr


def test_nodes_that_do_not_know_us_refuse_with_their_reason(three: Fleet) -> None:
    (me,) = three.known.principals
    three.rewrite(three.known._replace(principals=(me._replace(token="made up"),)))
    refused = three.gaxx("map", "--json", "--", "true", stdin=lines(3))
    assert (refused.returncode, counts(refused)) == (2, (3, 0, 0, 0, 3, 0))
    notes = [note["text"] for note in events(refused, "note")]
    assert any("demo-1: refused: the token is not the one of ada" in note for note in notes), notes


def test_nothing_to_do_is_done_at_once(three: Fleet) -> None:
    done = three.gaxx("map", "--json", "--", "true", stdin=b"")
    assert (done.returncode, counts(done)) == (0, (0, 0, 0, 0, 0, 0))


def test_a_dry_run_prints_commands_that_a_shell_would_take(three: Fleet) -> None:
    done = three.gaxx("map", "--dry-run", "--", "echo", "{}", "{#}", stdin=b"it's\n")
    assert subprocess.check_output(["sh", "-c", done.stdout]) == b"it's 1\n"


def test_the_controller_holds_neither_pulumi_nor_fabric_nor_paramiko(three: Fleet) -> None:
    probe = (
        "import sys; from tasks.cli.main import main; sys.argv[1:] = ['map', '--', 'true']; main(); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=three.root, env=three.environ, input=b"x\n", capture_output=True, check=True
    )
    assert not {"pulumi", "fabric", "paramiko", "rich"} & set(done.stdout.decode().split())


def test_nodes_behind_ssh_take_work_like_others(three: Fleet) -> None:
    behind = tuple(node._replace(reach="ssh") for node in three.known.nodes)
    three.rewrite(three.known._replace(nodes=behind))
    done = three.gaxx("map", "--json", "--", "sleep", "0.05", stdin=lines(30))
    assert (done.returncode, counts(done)[1]) == (0, 30), done.stderr
    assert {event["node"] for event in events(done)} == set(three.machines)


def test_the_last_stragglers_get_second_copies_and_the_first_result_wins(three: Fleet) -> None:
    begin = time.monotonic()
    # Whichever item demo-1 gets first takes a minute there.
    script = 'sleep 0.1; test "$GAXX_NODE" != demo-1 || test "$GAXX_ITEM" -gt 2 || exec sleep 60'
    done = three.gaxx("map", "--json", "-n", "demo-1,demo-2", "--", "sh", "-c", script, stdin=lines(12))
    assert (done.returncode, counts(done)) == (0, (12, 12, 0, 0, 0, 0))
    assert time.monotonic() - begin < 30


def test_a_run_costs_no_more_than_it_may(three: Fleet) -> None:
    dear = tuple(node._replace(cloud="linode", type="g6-dedicated-8", region="x") for node in three.known.nodes)
    three.rewrite(three.known._replace(nodes=dear))
    halted = three.gaxx("map", "--json", "--max-cost", "0.00005", "--", "sleep", "0.3", stdin=lines(200))
    total, ok, _, _, skipped, _ = counts(halted)
    assert (halted.returncode, total, ok + skipped) == (4, 200, 200)
    assert 0 < ok < 100
    unknown = tuple(node._replace(type="made-up") for node in dear)
    three.rewrite(three.known._replace(nodes=unknown))
    refused = three.gaxx("map", "--max-cost", "1", "--", "true", stdin=lines(1))
    assert (refused.returncode, b"the price of demo-1 (linode made-up) is not known" in refused.stderr) == (1, True)
