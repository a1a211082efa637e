"""What put, get and sync have in common on the command line: their options, and how the answer is shown."""

import collections.abc
import sys
import typing

import click

from components.errors import GaxxError
from components.inventory import Node
from tasks import inventory
from tasks.cli.options import find
from tasks.fanout import DEFAULT_FANOUT
from tasks.files.results import Transfer, fold, fold_faults
from tasks.files.watch import Watch

_FAULTS_SHOWN = 20
F = typing.TypeVar("F", bound=collections.abc.Callable[..., typing.Any])

EXCLUDE = click.option(
    "--exclude", multiple=True, metavar="GLOB", help="Leave out what has such a name or path; may be repeated."
)


def way_options(function: F) -> F:
    """Add the options about the way to the nodes."""
    via = click.option(
        "--via", type=click.Choice(["agent", "ssh"]), default="agent", show_default=True,
        help="The way there; SFTP is taken anyway where an agent does not answer.",
    )  # fmt: skip
    fanout = click.option(
        "--fanout", type=click.IntRange(min=1), default=DEFAULT_FANOUT, show_default=True, help="Nodes at once."
    )
    timeout = click.option(
        "--connect-timeout", type=click.FloatRange(min=0.1), default=15, show_default=True, metavar="S"
    )
    return via(fanout(timeout(function)))


def chosen_nodes(stack: str, nodes: str) -> tuple[inventory.Found, tuple[Node, ...]]:
    """The stack's inventory and the selected nodes; raise GaxxError when there are none."""
    found, chosen = find(stack, nodes)
    if not chosen:
        message = f"stack {found.stack.name} has no nodes"
        raise GaxxError(message, hint="its fleets declare none, or none is enrolled")
    return found, chosen


def show(transfer: Transfer, watch: Watch, found: inventory.Found, *, as_json: bool, to_stdout: bool) -> int:
    """Write the answer of every node and return the exit code."""
    if as_json:
        watch.events(report.as_dict() for report in transfer.reports)
        watch.events([transfer.ledger()])
    else:
        faults = fold_faults(transfer.reports)
        for line in faults[:_FAULTS_SHOWN]:
            watch.note(line)
        if len(faults) > _FAULTS_SHOWN:
            watch.note(f"and {len(faults) - _FAULTS_SHOWN} more; --json names all")
        for line, good in fold(transfer.reports):
            if to_stdout and good:
                sys.stdout.write(f"{line}\n")
            else:
                watch.note(line)
    for name in found.inventory.missing:
        watch.note(f"{name} is declared, but not enrolled: it was left out")
    return transfer.exit_code
