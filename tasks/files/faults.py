"""What the end of a Put or Get says: of this one file, or of the node."""

import grpc

from tasks import failure
from tasks.files.results import FileFault, NodeFault, State
from tasks.outcome import Ending

_OF_FILE = {
    grpc.StatusCode.INVALID_ARGUMENT: State.REFUSED,
    grpc.StatusCode.DATA_LOSS: State.REFUSED,
    grpc.StatusCode.NOT_FOUND: State.FAILED,
    grpc.StatusCode.FAILED_PRECONDITION: State.FAILED,
    grpc.StatusCode.ALREADY_EXISTS: State.FAILED,
}
_OF_NODE = {
    # Its disk is full: no further file need be tried.
    grpc.StatusCode.RESOURCE_EXHAUSTED: State.FAILED,
    grpc.StatusCode.UNAUTHENTICATED: State.REFUSED,
    grpc.StatusCode.PERMISSION_DENIED: State.REFUSED,
    grpc.StatusCode.UNAVAILABLE: State.LOST,
    grpc.StatusCode.DEADLINE_EXCEEDED: State.LOST,
    grpc.StatusCode.ABORTED: State.LOST,
    grpc.StatusCode.CANCELLED: State.LOST,
}
_ENDINGS = {Ending.UNREACHABLE: State.UNREACHABLE, Ending.REFUSED: State.REFUSED, Ending.CANCELLED: State.LOST}


def of_first_call(error: grpc.aio.AioRpcError) -> NodeFault:
    """Map what a node's very first answer was, or why there was none."""
    ending, text = failure.classify(error.code(), error.details() or "", started=False)
    return NodeFault(_ENDINGS.get(ending, State.ERROR), text)


def of_status(code: grpc.StatusCode, details: str) -> FileFault | NodeFault:
    """Map the status of a call that ended before it was through."""
    details = " ".join(details.split())
    if code in _OF_FILE:
        return FileFault(_OF_FILE[code], details, missing=code is grpc.StatusCode.NOT_FOUND)
    state = _OF_NODE.get(code, State.ERROR)
    if state is State.LOST:
        return NodeFault(state, failure.classify(code, details, started=True)[1])
    if state is State.ERROR:
        why = details or "the agent ended the call without a word"
        return NodeFault(state, f"{code.name}: {why}")
    return NodeFault(state, details)
