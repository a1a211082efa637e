"""From how an attempt ended to what that says of its item, in one table."""

import typing

from agent.proto import agent_pb2 as pb
from tasks.work.states import Verdict

KINDS: dict[int, str] = {
    pb.ENDING_UNSPECIFIED: "lost",
    pb.EXITED: "exited",
    pb.SIGNALED: "signaled",
    pb.DEADLINE: "timeout",
    pb.CANCELLED: "cancelled",
    pb.SPAWN_FAILED: "spawn-failed",
    pb.RUNNER_LOST: "lost",
}


class Judgement(typing.NamedTuple):
    """What an attempt came to, and why."""

    verdict: Verdict
    kind: str
    error: str
    node_is_sick: bool = False
    """The node could not execute it: it should be left alone for a while."""


def judge(result: pb.ItemResult, *, files_error: str = "", overdue: bool = False) -> Judgement:
    """Say what a result means.

    `files_error`: what of its files could not be had here; `overdue`: we called it off because its time was over.
    """
    exit_ = result.exit
    kind = KINDS.get(exit_.ending, "lost")
    match exit_.ending:
        case pb.EXITED if exit_.exit_code == 0:
            missing = files_error or "; ".join(result.file_errors)
            if missing:
                return Judgement(Verdict.FAILED, "bad-files", missing)
            return Judgement(Verdict.OK, kind, exit_.error)
        case pb.CANCELLED if overdue:
            return Judgement(Verdict.FAILED, "timeout", exit_.error)
        case pb.CANCELLED:
            return Judgement(Verdict.CANCELLED, kind, exit_.error, node_is_sick=bool(exit_.error))
        case pb.RUNNER_LOST | pb.ENDING_UNSPECIFIED:
            return Judgement(Verdict.LOST, "lost", exit_.error, node_is_sick=True)
        case _:
            return Judgement(Verdict.FAILED, kind, exit_.error)
