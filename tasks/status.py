"""How every node fares: its agent is asked through the front door, its sshd for its banner."""

import asyncio
import collections.abc
import contextlib
import dataclasses
import datetime as dt
import os
import time

import grpc

from agent.client import own_certificate_fault
from agent.proto import agent_pb2
from components import jump_socket
from components.errors import GaxxError, NodeError, Refused
from components.inventory import Node
from components.jump_host import JumpHost
from tasks import failure, identity, listing, words
from tasks.fanout import fan_out
from tasks.inventory import Found
from tasks.outcome import Ending
from tasks.ssh import reach

COLUMNS = ("node", "state", "agent", "sshd", "load", "memory free", "disk free", "items", "up", "ttl left")
WHY_COLUMNS = ("node", "state", "idle for", "ends idle after", "ttl left", "why it is not idle")
_BANNER = b"SSH-"


_DISK_FULL_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """What one node answered; a fault of "" means that it, its runner and its sshd are alive."""

    node: str
    info: agent_pb2.NodeInfo | None
    agent_error: str
    agent_ending: Ending
    """EXITED when it answered."""
    ssh_banner: str
    ssh_error: str
    seconds: float
    expires: str

    @property
    def state(self) -> str:
        """One word: ok, draining, disk-full, runner-dead, agent-dead, agent-broken, sshd-dead, dead, refused."""
        if self.info is None:
            answers = {Ending.REFUSED: "refused", Ending.ERROR: "agent-broken"}
            return answers.get(self.agent_ending, "agent-dead" if self.ssh_banner else "dead")
        if not self.ssh_banner:
            return "sshd-dead"
        if not self.info.runner_alive:
            return "runner-dead"
        if self.info.disk_total_bytes and self.info.disk_free_bytes < _DISK_FULL_BYTES:
            return "disk-full"
        return "draining" if self.info.draining else "ok"

    @property
    def fault(self) -> str:
        """What is dead, and what answers all the same; "" when all is well."""
        sentences = {
            "refused": f"the agent answers, but refuses us: {self.agent_error}",
            "agent-broken": f"the agent answers with an error of its own: {self.agent_error}",
            "dead": f"the machine is dead: neither agent ({self.agent_error}) nor sshd ({self.ssh_error}) answers",
            "agent-dead": f"the agent is dead ({self.agent_error}); sshd answers",
            "sshd-dead": f"sshd is dead ({self.ssh_error}); the agent answers",
            "disk-full": "the disk is full: it takes no run and no file; `gaxx run` still removes what fills it",
            "runner-dead": "the runner is dead, nothing can be executed; agent and sshd answer",
        }
        return sentences.get(self.state, "")

    @property
    def row(self) -> tuple[str, ...]:
        """Its cells of COLUMNS."""
        ssh = "answers" if self.ssh_banner else "dead"
        if self.info is None:
            agent = {"refused": "refuses", "agent-broken": "broken"}.get(self.state, "dead")
            return (self.node, self.state, agent, ssh, "-", "-", "-", "-", "-", listing.left(self.expires))
        info = self.info
        return (
            self.node,
            self.state,
            f"{self.seconds * 1000:.0f} ms",
            ssh,
            f"{info.load_1m:.2f}",
            words.size(info.memory_available_bytes),
            words.size(info.disk_free_bytes),
            f"{info.running_items}/{info.slots}" + (f" +{info.queued_items}" if info.queued_items else ""),
            words.duration(info.uptime_s),
            self._left(info),
        )

    @property
    def why_row(self) -> tuple[str, ...]:
        """Its cells of WHY_COLUMNS: what keeps it up."""
        info, left = self.info, listing.left(self.expires)
        if info is None:
            return (self.node, self.state, "-", "-", left, "-")
        limit = words.duration(info.idle_limit_s) if info.idle_limit_s else "never"
        idle = "-" if info.why_not_idle else words.duration(info.idle_s)
        return (self.node, self.state, idle, limit, left, info.why_not_idle or "-")

    def _left(self, info: agent_pb2.NodeInfo) -> str:
        """The time until it ends by itself, of the two the nearer one: its time to live, or its idleness."""
        if not info.idle_limit_s or info.why_not_idle:
            return listing.left(self.expires)
        idle_left_s = max(info.idle_limit_s - info.idle_s, 0.0)
        if self.expires and dt.datetime.fromisoformat(self.expires).timestamp() < time.time() + idle_left_s:
            return listing.left(self.expires)
        return f"{words.duration(idle_left_s)} (idle)"

    def blamed_on_us(self, own_fault: str) -> "Status":
        """The same with our own fault as the reason, where the wire did not say one."""
        if self.agent_error != failure.REFUSED_OR_DOWN:
            return self
        return dataclasses.replace(self, agent_ending=Ending.REFUSED, agent_error=own_fault)

    def as_dict(self) -> dict[str, object]:
        """The same for programs."""
        record: dict[str, object] = {
            "node": self.node,
            "state": self.state,
            "fault": self.fault,
            "agent_answers": self.info is not None or self.state in {"refused", "agent-broken"},
            "sshd_answers": bool(self.ssh_banner),
            "agent_error": self.agent_error,
            "ssh_error": self.ssh_error,
            "ssh_banner": self.ssh_banner,
            "expires": self.expires,
        }
        if self.info is not None:
            fields = agent_pb2.NodeInfo.DESCRIPTOR.fields
            values = {field.name: getattr(self.info, field.name) for field in fields}
            # Not protobuf's own JSON: it writes large integers as text.
            record["info"] = {
                name: value if isinstance(value, str | int | float) else list(value) for name, value in values.items()
            }
        return record


async def ask(found: Found, nodes: collections.abc.Sequence[Node], *, timeout_s: float) -> list[Status]:
    """Ask all nodes at once; one Status each. Raise Refused when we are none of the stack's operators."""
    me = identity.agent_identity(found.inventory, identity.load())
    way = reach.Reach(found, me)

    async def one(node: Node) -> Status:
        (info, ending, error, seconds), (banner, ssh_error) = await asyncio.gather(
            _ask_agent(way, node, timeout_s), _ask_sshd(node, timeout_s)
        )
        return Status(node.name, info, error, ending, banner, ssh_error, seconds, node.expires)

    answers = await fan_out(nodes, one)
    if any(answer.agent_error == failure.REFUSED_OR_DOWN for answer in answers):
        own = own_certificate_fault(me, found.inventory.authority_certificate)
        answers = [answer.blamed_on_us(own) for answer in answers] if own else answers
    return answers


def exit_code(answers: collections.abc.Iterable[Status], *, missing: int = 0) -> int:
    """2 when a node refused us, 5 when something is dead or was never enrolled, else 0."""
    states = {answer.state for answer in answers}
    if "refused" in states:
        return 2
    return 5 if missing or states - {"ok", "draining"} else 0


async def _ask_agent(
    way: reach.Reach, node: Node, timeout_s: float
) -> tuple[agent_pb2.NodeInfo | None, Ending, str, float]:
    begin = time.monotonic()
    try:
        async with way.open(node) as agent:
            info = await agent.stub.Info(agent_pb2.InfoRequest(), metadata=agent.metadata, timeout=timeout_s)
            return info, Ending.EXITED, "", time.monotonic() - begin
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return None, Ending.UNREACHABLE, f"no answer within {timeout_s:g} s", timeout_s
        ending, text = failure.classify(error.code(), error.details() or "", started=False)
        return None, ending, text, time.monotonic() - begin
    except Refused as error:
        return None, Ending.REFUSED, error.message, time.monotonic() - begin
    except NodeError as error:
        return None, Ending.UNREACHABLE, error.message.removeprefix(f"{node.name}: "), time.monotonic() - begin


async def _ask_sshd(node: Node, timeout_s: float) -> tuple[str, str]:
    if node.jump:
        return await asyncio.to_thread(_ask_sshd_through, node.jump, node, timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(node.ssh_host, node.ssh_port, limit=4096)
            try:
                line = await reader.readline()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError:
        return "", f"no banner within {timeout_s:g} s"
    except (OSError, ValueError) as error:
        # asyncio's own words carry the address, which would keep equal reasons from reading as equal.
        number = getattr(error, "errno", None)
        return "", (os.strerror(number) if number else str(error)).lower()
    # A forwarded port accepts with nobody behind it: only the protocol's own words count.
    if not line.startswith(_BANNER):
        return "", "connected, but no SSH banner came"
    return line.decode(errors="replace").strip(), ""


def _ask_sshd_through(jump: JumpHost, node: Node, timeout_s: float) -> tuple[str, str]:
    try:
        with jump_socket.opened(jump, node.name, node.ssh_host, node.ssh_port, limit_s=timeout_s) as connected:
            connected.settimeout(timeout_s)
            line = connected.makefile("rb").readline(4096)
    except GaxxError as error:
        return "", error.message.removeprefix(f"{node.name}: ")
    except OSError as error:
        return "", str(error)
    if not line.startswith(_BANNER):
        return "", "connected, but no SSH banner came"
    return line.decode(errors="replace").strip(), ""
