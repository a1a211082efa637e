"""What failed alike is counted together, however much there is of it."""

from tasks.work.failures import EXAMPLES, KINDS, MANY_MESSAGES, Failures, how_of


def test_failures_that_look_the_same_are_one_line() -> None:
    failures = Failures()
    for index in range(14):
        failures.add(index, f"demo-{index % 2 + 1}", how_of("exited", 4, 0), "")
    failures.add(20, "demo-3", how_of("spawn-failed", 0, 0), "ffmpeg: command not found")
    failures.add(21, "demo-3", how_of("signaled", 0, 9), "")
    assert failures.sentences("run-1") == [
        "items 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 4 more failed: exit 4 on demo-[1-2]",
        "item 21 failed: could not be started on demo-3: ffmpeg: command not found",
        "item 22 failed: killed by SIGKILL on demo-3",
    ]


def test_many_kinds_of_failure_are_a_number_and_where_to_look() -> None:
    failures = Failures()
    for index in range(5 * KINDS):
        failures.add(index, "demo-1", "exit 1", f"no file {index}")
    assert len(failures.folds) == KINDS + 1, "bounded, whatever the items say"
    assert (failures.folds[0].stderr, failures.folds[0].count) == (MANY_MESSAGES, 4 * KINDS)
    assert len(failures.folds[0].examples) == EXAMPLES
    assert failures.sentences("run-1")[-1] == f"{KINDS - 2} more failed in other ways: `gaxx runs show run-1`"


def test_what_failed_on_a_cordoned_node_counts_no_more() -> None:
    failures = Failures()
    failures.add(0, "bad", "exit 1", "")
    failures.add(1, "good", "exit 1", "")
    failures.add(2, "bad", "timeout", "")
    failures.forgive("bad")
    assert failures.sentences("run-1") == ["item 2 failed: exit 1 on good"]
    failures.note({"event": "reopen", "reopened": [1]})
    assert failures.sentences("run-1") == []
