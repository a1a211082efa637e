"""Folding, the ledger, and what an exit code says of many nodes."""

import io

import grpc
import pytest

from tasks import failure
from tasks.outcome import Ending, Outcome, exit_code
from tasks.run import report


def outcome(node: str, code: int = 0, stdout: bytes = b"", **more: object) -> Outcome:
    return Outcome(node, Ending.EXITED, exit_code=code, stdout=stdout)._replace(**more)  # type: ignore[arg-type]


def test_nodes_with_equal_answers_are_one_group_and_the_largest_is_first() -> None:
    groups = report.fold([outcome("a-1", stdout=b"x"), outcome("a-2"), outcome("a-3"), outcome("a-4", 1)])
    assert [group.title for group in groups] == ["a-[2-3] (2): ok", "a-1 (1): ok", "a-4 (1): exit 1"]


def test_equal_output_on_different_streams_is_not_equal() -> None:
    assert len(report.fold([outcome("a-1", stdout=b"x"), outcome("a-2", stderr=b"x")])) == 2


def paper() -> tuple[report.Paper, io.BytesIO, io.BytesIO]:
    out, err = io.BytesIO(), io.BytesIO()
    return report.Paper(out, err, colour_out=False, colour_err=False), out, err


def test_remote_stderr_goes_to_stderr_and_bytes_stay_bytes() -> None:
    sheet, out, err = paper()
    report.write_folded(report.fold([outcome("a-1", stdout=b"\xff", stderr=b"no\n")]), sheet)
    assert out.getvalue() == b"--- a-1 (1): ok\n\xff\n"
    assert err.getvalue() == b"--- a-1: stderr\nno\n"


def test_the_ledger_adds_up_whatever_happened() -> None:
    outcomes = [Outcome(f"n-{index}", ending, exit_code=0) for index, ending in enumerate(Ending)]
    ledger = report.ledger("r", outcomes, 1.0)
    parts = ("ok", "failed", "quarantined", "skipped", "cancelled")
    assert ledger["total"] == len(Ending) == sum(int(str(ledger[part])) for part in parts)


@pytest.mark.parametrize(
    ("endings", "interrupted", "expected"),
    [
        ([], False, 0),
        ([Ending.EXITED], False, 0),
        ([Ending.EXITED, Ending.SIGNALED], False, 3),
        ([Ending.DEADLINE], False, 3),
        ([Ending.SPAWN_FAILED], False, 3),
        ([Ending.SIGNALED, Ending.UNREACHABLE], False, 5),
        ([Ending.LOST], False, 5),
        ([Ending.RUNNER_LOST], False, 5),
        ([Ending.CANCELLED], False, 5),
        ([Ending.UNREACHABLE, Ending.REFUSED], False, 2),
        ([Ending.ERROR, Ending.REFUSED], False, 1),
        ([Ending.UNREACHABLE, Ending.CANCELLED], True, 130),
    ],
)
def test_the_worst_decides_the_exit_code(endings: list[Ending], interrupted: bool, expected: int) -> None:
    assert exit_code([Outcome("n", ending, exit_code=0) for ending in endings], interrupted=interrupted) == expected


def test_every_ending_has_words() -> None:
    assert all(Outcome("n", ending, exit_code=1, signal=9).word for ending in Ending)


STATUS_BEFORE_START = {
    grpc.StatusCode.UNAVAILABLE: Ending.UNREACHABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Ending.UNREACHABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Ending.UNREACHABLE,
    grpc.StatusCode.ABORTED: Ending.UNREACHABLE,
    grpc.StatusCode.UNAUTHENTICATED: Ending.REFUSED,
    grpc.StatusCode.PERMISSION_DENIED: Ending.REFUSED,
    grpc.StatusCode.CANCELLED: Ending.CANCELLED,
    grpc.StatusCode.OK: Ending.ERROR,
    grpc.StatusCode.UNKNOWN: Ending.ERROR,
    grpc.StatusCode.INVALID_ARGUMENT: Ending.ERROR,
    grpc.StatusCode.NOT_FOUND: Ending.ERROR,
    grpc.StatusCode.ALREADY_EXISTS: Ending.ERROR,
    grpc.StatusCode.FAILED_PRECONDITION: Ending.ERROR,
    grpc.StatusCode.OUT_OF_RANGE: Ending.ERROR,
    grpc.StatusCode.UNIMPLEMENTED: Ending.ERROR,
    grpc.StatusCode.INTERNAL: Ending.ERROR,
    grpc.StatusCode.DATA_LOSS: Ending.ERROR,
}


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_every_status_means_one_thing_before_and_lost_after_the_start(code: grpc.StatusCode) -> None:
    assert failure.classify(code, "why", started=False)[0] is STATUS_BEFORE_START[code]
    assert failure.classify(code, "why", started=True)[0] is Ending.LOST


def test_reasons_carry_no_addresses_so_that_they_fold() -> None:
    details = (
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: "
        "Failed to connect to remote host: connect: Connection refused (111)"
    )
    assert failure.classify(grpc.StatusCode.UNAVAILABLE, details, started=False)[1] == "connection refused"


def test_a_foreign_node_is_refused_and_not_down() -> None:
    details = "Ssl handshake failed: SSL_ERROR_SSL: CERTIFICATE_VERIFY_FAILED: self signed certificate in chain"
    assert failure.classify(grpc.StatusCode.UNAVAILABLE, details, started=False)[0] is Ending.REFUSED
