"""The agent's and its client's errors, and the one table from gRPC status to them.

AgentError             exit 1   anything of the agent or the way to it that went wrong
  ConfigMissing        exit 1   the agent cannot start: all that is missing or wrong
  ConfigUnsafe         exit 2   the agent will not start: what was asked is unsafe
  AgentRefused         exit 2   the agent knows us not, or not for this
  AgentUnreachable     exit 5   no answer, refused at the door, or not in time
  RequestFailed        exit 3   the node understood and could not do it (no such file, disk full)
  AgentMisused         exit 1   the request makes no sense to the agent: builds that do not fit
  CallCancelled        exit 130 we gave the call up ourselves
"""

import grpc


class AgentError(Exception):
    """The root: a message for a person."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigMissing(AgentError):  # noqa: N818 - reads as what is wrong
    """The agent cannot start; the message names every fault."""


class ConfigUnsafe(AgentError):  # noqa: N818 - as above
    """The agent refuses to start so."""

    exit_code = 2


class AgentRefused(AgentError):  # noqa: N818 - as above
    """Certificate, token, role or serial did not suffice, or a digest did not match."""

    exit_code = 2


class AgentUnreachable(AgentError):  # noqa: N818 - as above
    """Nothing answers, the connection is refused in the handshake, or the answer is late."""

    exit_code = 5


class RequestFailed(AgentError):  # noqa: N818 - as above
    """The node could not do what was asked."""

    exit_code = 3


class AgentMisused(AgentError):  # noqa: N818 - as above
    """Agent and client do not understand each other."""


class CallCancelled(AgentError):  # noqa: N818 - as above
    """The call was given up on our side."""

    exit_code = 130


BY_STATUS: dict[grpc.StatusCode, type[AgentError]] = {
    grpc.StatusCode.OK: AgentError,
    grpc.StatusCode.CANCELLED: CallCancelled,
    grpc.StatusCode.UNKNOWN: AgentError,
    grpc.StatusCode.INVALID_ARGUMENT: AgentMisused,
    grpc.StatusCode.DEADLINE_EXCEEDED: AgentUnreachable,
    grpc.StatusCode.NOT_FOUND: RequestFailed,
    grpc.StatusCode.ALREADY_EXISTS: RequestFailed,
    grpc.StatusCode.PERMISSION_DENIED: AgentRefused,
    grpc.StatusCode.UNAUTHENTICATED: AgentRefused,
    grpc.StatusCode.RESOURCE_EXHAUSTED: RequestFailed,
    grpc.StatusCode.FAILED_PRECONDITION: RequestFailed,
    grpc.StatusCode.ABORTED: RequestFailed,
    grpc.StatusCode.OUT_OF_RANGE: AgentMisused,
    grpc.StatusCode.UNIMPLEMENTED: AgentMisused,
    grpc.StatusCode.INTERNAL: AgentError,
    grpc.StatusCode.UNAVAILABLE: AgentUnreachable,
    grpc.StatusCode.DATA_LOSS: AgentRefused,
}
"""Every status a call can end with; DATA_LOSS is a digest that did not match. A test knows when one is missing."""

SAID_BY_AGENT = ("gaxx-agent", "1")
"""Trailing metadata of what the agent itself refuses: all else that says UNAVAILABLE is the way to it."""
