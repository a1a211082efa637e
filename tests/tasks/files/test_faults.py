"""What the end of a call means: every status has one meaning, for the file or for the node."""

import grpc
import pytest

from tasks.files import faults
from tasks.files.results import FileFault, NodeFault, State

FILE = {
    grpc.StatusCode.INVALID_ARGUMENT: State.REFUSED,
    grpc.StatusCode.DATA_LOSS: State.REFUSED,
    grpc.StatusCode.NOT_FOUND: State.FAILED,
    grpc.StatusCode.FAILED_PRECONDITION: State.FAILED,
    grpc.StatusCode.ALREADY_EXISTS: State.FAILED,
}
NODE = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: State.FAILED,
    grpc.StatusCode.UNAUTHENTICATED: State.REFUSED,
    grpc.StatusCode.PERMISSION_DENIED: State.REFUSED,
    grpc.StatusCode.UNAVAILABLE: State.LOST,
    grpc.StatusCode.DEADLINE_EXCEEDED: State.LOST,
    grpc.StatusCode.ABORTED: State.LOST,
    grpc.StatusCode.CANCELLED: State.LOST,
    # What an agent of another build might say.
    grpc.StatusCode.OK: State.ERROR,
    grpc.StatusCode.UNKNOWN: State.ERROR,
    grpc.StatusCode.INTERNAL: State.ERROR,
    grpc.StatusCode.OUT_OF_RANGE: State.ERROR,
    grpc.StatusCode.UNIMPLEMENTED: State.ERROR,
}


def test_no_status_is_forgotten() -> None:
    assert FILE.keys() | NODE.keys() == set(grpc.StatusCode)


@pytest.mark.parametrize("code", grpc.StatusCode)
def test_each_status_has_one_meaning(code: grpc.StatusCode) -> None:
    fault = faults.of_status(code, "its\nwords")
    assert isinstance(fault, FileFault if code in FILE else NodeFault)
    assert fault.state is (FILE | NODE)[code]
    assert "\n" not in fault.text
    if isinstance(fault, FileFault):
        assert fault.missing is (code is grpc.StatusCode.NOT_FOUND)
