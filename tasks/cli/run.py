"""`gaxx run`: parse, execute through the agents or SSH, print."""

import collections.abc
import os
import sys

import click

from components.errors import GaxxError
from tasks import outcome
from tasks.cli.options import coloured, find, json_option, nodes_option, stack_option
from tasks.fanout import DEFAULT_FANOUT, SSH_FANOUT
from tasks.run import execution, report
from tasks.run.command import OUTPUT_LIMIT_BYTES, Command, Via, new_run_id
from tasks.run.live import Live
from tasks.run.stdin import Spool, offered

_UNLIMITED = (1 << 63) - 1


@click.command("run", context_settings={"allow_interspersed_args": False})
@stack_option
@nodes_option
@click.option("--timeout", type=click.FloatRange(min=0), default=0, metavar="S", help="Kill it after S seconds.")
@click.option(
    "--fanout", type=click.IntRange(min=1), default=None, metavar="N",
    help=f"Nodes at once ({DEFAULT_FANOUT}; over SSH {SSH_FANOUT}).",
)  # fmt: skip
@click.option("--env", "env", multiple=True, metavar="K=V", help="Set a variable for the command; may be repeated.")
@click.option("--via", type=click.Choice(["agent", "ssh"]), default="agent", show_default=True, help="The way there.")
@click.option("--stdin/--no-stdin", default=True, help="Give our standard input, when there is one, to every node.")
@click.option(
    "--output-limit", type=click.IntRange(min=1), default=None, metavar="MIB",
    help="Keep so much of each node's stdout and stderr (16; all when streaming).",
)  # fmt: skip
@click.option("--connect-timeout", type=click.FloatRange(min=0.1), default=15, show_default=True, metavar="S")
@click.option("--diff", is_flag=True, help="Show other answers as a diff against the most frequent one.")
@click.option("--stream", is_flag=True, help="Show output as it comes, each line behind its node's name.")
@json_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND [ARG]...")
def run_command(  # noqa: PLR0913 - one parameter an option
    *,
    stack: str,
    nodes: str,
    timeout: float,
    fanout: int | None,
    env: tuple[str, ...],
    via: Via,
    stdin: bool,
    output_limit: int | None,
    connect_timeout: float,
    diff: bool,
    stream: bool,
    as_json: bool,
    command: tuple[str, ...],
) -> int:
    """Execute a command once on every node.

    The arguments reach the command as they are; no shell is implied (say `-- sh -c '…'` for one). Equal answers
    are shown once. The exit code is 0 when all were 0, 3 when one was not, 5 when a node was not reached or was
    lost, 2 when one refused, 130 after Ctrl-C (once: the commands get SIGTERM; twice: at once).
    """
    if diff and (stream or as_json):
        message = "--diff shows folded answers: it goes with neither --stream nor --json"
        raise click.UsageError(message)
    variables = dict(_variable(text) for text in env)
    found, chosen = find(stack, nodes)
    if not chosen:
        message = f"stack {found.stack.name} has no nodes"
        raise GaxxError(message, hint="its fleets declare none, or none is enrolled")
    spool = Spool() if stdin and offered() else None
    width = fanout or (SSH_FANOUT if via == "ssh" else DEFAULT_FANOUT)
    unsaid = _UNLIMITED if stream else OUTPUT_LIMIT_BYTES
    wanted = Command(
        tuple(map(os.fsencode, command)), variables, new_run_id(), timeout_s=timeout, fanout=width,
        output_limit_bytes=output_limit << 20 if output_limit else unsaid, connect_timeout_s=connect_timeout,
        stdin=spool,
    )  # fmt: skip
    paper = report.Paper(
        sys.stdout.buffer, sys.stderr.buffer, colour_out=coloured(sys.stdout), colour_err=coloured(sys.stderr)
    )
    live = Live(tuple(node.name for node in chosen), paper, stream=stream, as_json=as_json)
    try:
        answer = execution.execute(found, chosen, wanted, live, via=via)
    finally:
        live.close()
        if spool is not None:
            spool.close()
    if as_json:
        sys.stdout.buffer.write(report.json_line(report.ledger(answer.run_id, answer.outcomes, answer.wall_s)))
    elif not stream:
        groups = report.fold(answer.outcomes)
        (report.write_diff if diff else report.write_folded)(groups, paper)
    if not as_json:
        paper.line(report.summary(answer.outcomes, answer.wall_s))
    _hint_at_shell(command, answer.outcomes, paper)
    for name in found.inventory.missing:
        paper.line(f"gaxx: {name} is declared, but not enrolled: nothing was executed there")
    return outcome.exit_code(answer.outcomes, interrupted=answer.interrupted)


def _hint_at_shell(
    command: tuple[str, ...], outcomes: collections.abc.Iterable[outcome.Outcome], paper: report.Paper
) -> None:
    """Tell who comes from ssh, where every command is a script, how to say that here."""
    if len(command) > 1 or not any(mark in command[0] for mark in " |;&<>$"):
        return
    if any(one.ending is outcome.Ending.SPAWN_FAILED for one in outcomes):
        import shlex

        paper.line(f"gaxx: no shell is implied; a script is said as: -- sh -c {shlex.quote(command[0])}")


def _variable(text: str) -> tuple[str, bytes]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        message = f"--env {text}: K=V was expected"
        raise click.UsageError(message)
    if name.startswith("GAXX_"):
        message = f"--env {name}: names that begin with GAXX_ are set by gaxx itself"
        raise click.UsageError(message)
    return name, os.fsencode(value)
