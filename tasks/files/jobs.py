"""The three jobs: what put, get and sync do on one node, by either way."""

import asyncio
import collections.abc
import typing

from agent.client import AgentChannel
from components.inventory import Node
from tasks.files.arrivals import Arrivals
from tasks.files.local_files import Plan
from tasks.files.receiving import Inbox, Receiver
from tasks.files.results import GOOD, FileResult, NodeReport, State
from tasks.files.sending import Outbox, Sender

if typing.TYPE_CHECKING:
    from tasks.files.ssh_node import SshNode


class Told(typing.Protocol):
    """Told of single files and bytes, from any thread."""

    def told(self, result: FileResult) -> None:
        """Take a file's result."""

    def moved(self, node: str, size_bytes: int) -> None:
        """Count bytes that went over the wire."""


class Put:
    """Sends a plan; with `delete_below`, removes afterwards what is in that folder and not in the plan."""

    def __init__(self, plan: Plan, told: Told, *, delete_below: str = "") -> None:
        self._plan, self._told, self._delete_below = plan, told, delete_below
        self._outbox = Outbox(plan, told.told, told.moved)

    def report(self, node: Node) -> NodeReport:
        """An empty report that knows how much there is to do."""
        return NodeReport(node.name, planned=len(self._plan.sources))

    async def by_agent(self, agent: AgentChannel, report: NodeReport) -> None:
        """Send through the agent. Raises NodeFault."""
        await Sender(self._outbox, agent, report).run()
        if self._may_delete(report):
            from tasks.files.removing import Doomed, remove_by_agent

            await remove_by_agent(Doomed(self._plan, self._delete_below), agent, report, self._told.told)

    def by_ssh(self, remote: "SshNode", report: NodeReport, loop: asyncio.AbstractEventLoop) -> None:
        """Send by SFTP. Raises NodeFault."""
        from tasks.files.ssh_sending import SshSender

        SshSender(self._outbox, remote, report, loop).run()
        if self._may_delete(report):
            from tasks.files.removing import Doomed, remove_by_ssh

            remove_by_ssh(Doomed(self._plan, self._delete_below), remote, report, self._told.told)

    def _may_delete(self, report: NodeReport) -> bool:
        # A node that did not get everything keeps what it has.
        return bool(self._delete_below) and not report.faults


class Get:
    """Receives what globs mean."""

    def __init__(self, globs: collections.abc.Sequence[str], arrivals: Arrivals, told: Told) -> None:
        self._inbox = Inbox(globs, arrivals, told.told, told.moved)
        self._arrivals, self._told = arrivals, told

    def report(self, node: Node) -> NodeReport:
        """An empty report."""
        return NodeReport(node.name)

    async def by_agent(self, agent: AgentChannel, report: NodeReport) -> None:
        """Receive through the agent. Raises NodeFault."""
        await Receiver(self._inbox, agent, report).run()

    def by_ssh(self, remote: "SshNode", report: NodeReport, loop: asyncio.AbstractEventLoop) -> None:
        """Receive by SFTP. Raises NodeFault."""
        from tasks.files.ssh_receiving import SshReceiver

        del loop
        SshReceiver(self._inbox, remote, report).run()

    def settle(self, reports: collections.abc.Sequence[NodeReport]) -> None:
        """Put what has arrived where it belongs, and say what was nowhere."""
        by_name = {report.node: report for report in reports}
        for result in self._arrivals.place():
            by_name[result.node].add(result)
            self._told.told(result)
        if not all(report.state in GOOD for report in reports):
            return
        for glob in self._inbox.unmatched:
            for report in reports:
                result = FileResult(report.node, glob, State.FAILED, error="nothing matches")
                report.add(result)
                self._told.told(result)
