"""Fetch the nodes' audit trails, check each against what was collected before, and keep what is new."""

import collections.abc
import dataclasses
import pathlib

import grpc

from agent.client import own_certificate_fault
from agent.proto import agent_pb2
from components import places
from components.errors import NodeError, Refused
from components.inventory import Node
from tasks import failure, identity
from tasks.audit.chain import Chain, Fault, Head, Line
from tasks.audit.kept import Kept, locked
from tasks.audit.sentences import printable
from tasks.fanout import fan_out
from tasks.inventory import Found, Stack
from tasks.outcome import Ending
from tasks.ssh import reach

TIMEOUT_S = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Collected:
    """What became of one node's trail. It was reached when `error` is ""; it is sound when `fault` is None, too."""

    node: str
    kept: Kept
    lines: int = 0
    """How many the node has sent."""
    head: Head | None = None
    """Its last line, as the agent says."""
    seen: Head | None = None
    """Its last line when this controller looked before."""
    fault: Fault | None = None
    notices: tuple[str, ...] = ()
    """What is no fault and yet to be known: lines that are missing and accounted for."""
    error: str = ""
    ending: Ending = Ending.EXITED

    def as_dict(self) -> dict[str, object]:
        """The same for programs."""
        record: dict[str, object] = {"node": self.node, "ok": not self.error and self.fault is None}
        if self.error:
            return {**record, "error": self.error}
        record |= {"lines": self.lines, "head": self.head._asdict() if self.head else None}
        record |= {"seen": self.seen._asdict() if self.seen else None, "notices": list(self.notices)}
        return {**record, "fault": self.fault._asdict() if self.fault else None}


def folder_of(stack: Stack) -> pathlib.Path:
    """Where a stack's trails are kept."""
    return places.audit_folder(stack.backend_id, stack.project, stack.name)


async def collect(
    found: Found, nodes: collections.abc.Sequence[Node], *, whole: bool, timeout_s: float = TIMEOUT_S
) -> list[Collected]:
    """Ask all nodes at once: for what is new, or on `whole` for everything that they still have.

    Raise Refused when we are none of the stack's operators and observers.
    """
    me = identity.agent_identity(found.inventory, identity.load())
    way = reach.Reach(found, me)
    folder = folder_of(found.stack)

    async def one(node: Node) -> Collected:
        kept = Kept.of(folder, node.name, node.machine_id)
        return await _one(way, node, kept, whole=whole, timeout_s=timeout_s)

    async with locked(folder, within_s=timeout_s):
        answers = await fan_out(nodes, one, fanout=_FANOUT)
    if any(answer.error == failure.REFUSED_OR_DOWN for answer in answers):
        own = own_certificate_fault(me, found.inventory.authority_certificate)
        if own:
            answers = [_blamed_on_us(answer, own) for answer in answers]
    return answers


def exit_code(answers: collections.abc.Iterable[Collected]) -> int:
    """2 when a trail is not what it was or a node refused us, 5 when one could not be had, else 0."""
    answers = list(answers)
    if any(answer.fault or answer.ending is Ending.REFUSED for answer in answers):
        return 2
    return 5 if any(answer.error for answer in answers) else 0


_FANOUT = 8
"""Nodes at once: of each, the digests of all its lines are in memory while they are compared; and to check them keeps
one core busy anyway."""


async def _one(way: reach.Reach, node: Node, kept: Kept, *, whole: bool, timeout_s: float) -> Collected:
    seen = kept.head()
    try:
        async with way.open(node) as agent:
            begin = 1 if whole or seen is None else seen.sequence
            request = agent_pb2.AuditRequest(from_sequence=begin)
            call = agent.stub.Audit(request, metadata=agent.metadata, timeout=timeout_s)
            return await _take(call, node, kept, seen, whole=whole)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return Collected(node.name, kept, error=f"no answer within {timeout_s:g} s", ending=Ending.UNREACHABLE)
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            text = "its agent is of a build that keeps no audit trail; `pulumi up` brings another"
            return Collected(node.name, kept, error=text, ending=Ending.ERROR)
        ending, text = failure.classify(error.code(), error.details() or "", started=False)
        return Collected(node.name, kept, error=text, ending=ending)
    except Refused as error:
        return Collected(node.name, kept, error=error.message, ending=Ending.REFUSED)
    except NodeError as error:
        text = error.message.removeprefix(f"{node.name}: ")
        return Collected(node.name, kept, error=text, ending=Ending.UNREACHABLE)


async def _take(
    replies: collections.abc.AsyncIterable[agent_pb2.AuditReply],
    node: Node,
    kept: Kept,
    seen: Head | None,
    *,
    whole: bool,
) -> Collected:
    known = {line.sequence: line.sha256 for line in kept.lines() if line.sequence} if whole else {}
    known |= {seen.sequence: seen.sha256} if seen else {}
    chain = Chain(known, machine=node.machine_id)
    head: Head | None = None
    count = 0
    with kept.incoming() as incoming:
        async for reply in replies:
            if reply.WhichOneof("reply") == "head":
                head = Head(reply.head.sequence, reply.head.sha256)
                continue
            *parts, rest = reply.lines.data.split(b"\n")
            for offset, raw in enumerate([*parts, rest] if rest else parts):
                line = Line.read(printable(reply.lines.file), reply.lines.line + offset, raw)
                count += 1
                chain.take(line)
                incoming.take(line)
            if chain.fault is not None:
                break
        fault = _judge(chain, head, seen, whole=whole)
        if fault is None and head is not None:
            incoming.keep(head)
    notices = [f"{line.file}:{line.number}: {_gap(line)}" for line in chain.gaps]
    lost = chain.dropped_before - (seen.sequence if seen else 0)
    if fault is None and lost > 0:
        notices.append(f"{lost} lines were dropped from the full trail before they could be collected")
    return Collected(node.name, kept, count, head, seen, fault, tuple(notices))


def _judge(chain: Chain, head: Head | None, seen: Head | None, *, whole: bool) -> Fault | None:
    # Asked for the lines from one on, a node that begins behind it has dropped some, and must account for that.
    hole = seen is not None and chain.first is not None and chain.first.sequence > seen.sequence
    fault = chain.end(head, whole=whole or hole or seen is None)
    if fault is None and head is None:
        return Fault("", 0, "the node sent no head of its trail")
    return fault


def _gap(line: Line) -> str:
    record = line.record
    if record.get("why") == "torn":
        return f"a line of {record.get('torn_bytes')} bytes was torn when the agent was killed"
    return printable(f"{record.get('lines')} lines are missing: {record.get('why')}")


def _blamed_on_us(answer: Collected, own: str) -> Collected:
    if answer.error != failure.REFUSED_OR_DOWN:
        return answer
    return dataclasses.replace(answer, error=own, ending=Ending.REFUSED)
