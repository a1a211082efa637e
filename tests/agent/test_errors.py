"""One table from gRPC status to our errors, and it knows every status there is."""

import grpc
import pytest

from agent.errors import BY_STATUS, AgentError


def test_every_status_has_an_error_of_ours() -> None:
    assert set(BY_STATUS) == set(grpc.StatusCode)


@pytest.mark.parametrize(
    ("status", "exit_code"),
    [
        (grpc.StatusCode.UNAVAILABLE, 5),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 5),
        (grpc.StatusCode.UNAUTHENTICATED, 2),
        (grpc.StatusCode.PERMISSION_DENIED, 2),
        (grpc.StatusCode.DATA_LOSS, 2),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 3),
        (grpc.StatusCode.NOT_FOUND, 3),
        (grpc.StatusCode.UNIMPLEMENTED, 1),
        (grpc.StatusCode.INTERNAL, 1),
        (grpc.StatusCode.CANCELLED, 130),
    ],
)
def test_the_exit_codes_are_the_documented_ones(status: grpc.StatusCode, exit_code: int) -> None:
    assert BY_STATUS[status].exit_code == exit_code


def test_every_error_has_a_documented_exit_code() -> None:
    assert {error.exit_code for error in BY_STATUS.values()} <= {1, 2, 3, 4, 5, 130, 141}
    assert all(issubclass(error, AgentError) for error in BY_STATUS.values())
