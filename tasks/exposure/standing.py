"""Where the questions come from: this controller, as each node sees it, and for each node one peer."""

import collections.abc

from components.inventory import Node
from tasks.inventory import Found
from tasks.outcome import Ending, Outcome
from tasks.run.command import Command, Interrupt, new_run_id

_TIMEOUT_S = 20.0


class _Quiet:
    """Keeps every output for its outcome and says nothing."""

    def output(self, node: str, data: bytes, *, is_stderr: bool) -> bool:
        del node, data, is_stderr
        return False

    def finished(self, outcome: Outcome) -> None:
        del outcome

    def note(self, text: str) -> None:
        del text

    def interrupted(self, count: int) -> None:
        del count


async def seen_as(found: Found, nodes: collections.abc.Sequence[Node]) -> dict[str, str]:
    """Return by node name the address that we come from, as the node's sshd sees it.

    What lies between, a router or a VPN, may give us another address than our own. Missing: nodes that SSH does not
    get to.
    """
    from tasks.run.over_ssh import run_over_ssh  # loads Fabric and paramiko

    argv = (b"printenv", b"SSH_CONNECTION")
    command = Command(
        argv, {}, new_run_id(), timeout_s=_TIMEOUT_S, fanout=64, output_limit_bytes=4096, connect_timeout_s=_TIMEOUT_S
    )
    report = await run_over_ssh(found, nodes, command, _Quiet(), Interrupt())
    return {
        outcome.node: outcome.stdout.split()[0].decode()
        for outcome in report.outcomes
        if outcome.ending is Ending.EXITED and outcome.exit_code == 0 and outcome.stdout.split()
    }


def peers(nodes: collections.abc.Sequence[Node]) -> dict[str, Node]:
    """For each node the next one that can ask it: each is asked once and asks once.

    None where there is no other node, or where nodes have the same address, each in a network of its own.
    """
    if len({node.address for node in nodes}) < len(nodes):
        return {}
    return {node.name: nodes[(index + 1) % len(nodes)] for index, node in enumerate(nodes) if len(nodes) > 1}
