"""`gaxx audit`: what happened on the nodes, and whether what they say of it is what they wrote."""

import asyncio
import pathlib
import sys
import typing

import click
from click.core import ParameterSource

from tasks.cli.options import find, json_option, nodes_option, print_json, stack_option, table

if typing.TYPE_CHECKING:
    from tasks.audit.collect import Collected

KINDS = ("chain", "gap", "agent", "settings", "connection", "refused", "command", "run", "item", "file", "ssh")


@click.group("audit", invoke_without_command=True)
@stack_option
@nodes_option
@click.option("--since", default="", metavar="WHEN", help="Only what is newer: 10m, 2h, 1d, or a time.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only lines of this kind; repeatable.")
@click.option("--principal", "principals", multiple=True, metavar="NAME", help="Only what NAME did; repeatable.")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=60, show_default=True, metavar="S")
@json_option
@click.pass_context
def audit_command(
    context: click.Context,
    *,
    stack: str,
    nodes: str,
    since: str,
    kinds: tuple[str, ...],
    principals: tuple[str, ...],
    timeout: float,
    as_json: bool,
) -> int:
    """Collect the nodes' audit trails and show them, equal lines folded.

    Every line comes from the agent that wrote it, and is checked against what was collected before. Nodes that do not
    answer are shown as they were last collected; exit 5 then, and 2 when a trail is not what it was.
    """
    if context.invoked_subcommand is not None:
        given = [name for name in context.params if context.get_parameter_source(name) is not ParameterSource.DEFAULT]
        if given:
            message = f"options of `gaxx audit {context.invoked_subcommand}` stand behind {context.invoked_subcommand}"
            raise click.UsageError(message)
        return 0
    from tasks.audit import collect, show
    from tasks.audit.kept import Kept

    moment = show.moment(since) if since else None
    wanted = show.Wanted(moment, frozenset(kinds), frozenset(principals))
    found, chosen = find(stack, nodes)
    answers = asyncio.run(collect.collect(found, chosen, whole=False, timeout_s=timeout))
    # Machines and nodes that are gone, too: what they did was done.
    kept = Kept.every(collect.folder_of(found.stack), [node.name for node in chosen] if nodes else None)
    lines = show.records(kept, wanted)
    if as_json:
        for node, record in lines:
            print_json({"node": node, **record})
    elif folds := show.folded(lines):
        table(show.COLUMNS, (fold.row for fold in folds))
    _complain(answers)
    return collect.exit_code(answers)


@audit_command.command("verify")
@stack_option
@nodes_option
@click.option("--head", default="", metavar="NUMBER:SHA256", help="With files: the last line that must be there.")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=60, show_default=True, metavar="S")
@json_option
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=pathlib.Path))
def verify_command(
    *, stack: str, nodes: str, head: str, timeout: float, as_json: bool, files: tuple[pathlib.Path, ...]
) -> int:
    """Check that no line of the trails was changed, removed, inserted or moved; exit 2 when one was.

    Asks the nodes for all that they still have, and compares it with its own sha256s, with the agent's word for the
    last line, and with what was collected before. FILES (or folders of them) are checked without asking anybody.
    """
    if files:
        return _offline(files, head, as_json=as_json)
    if head:
        message = "--head is for files"
        raise click.UsageError(message)
    from tasks.audit import collect

    found, chosen = find(stack, nodes)
    answers = asyncio.run(collect.collect(found, chosen, whole=True, timeout_s=timeout))
    if as_json:
        for answer in answers:
            print_json(answer.as_dict())
    else:
        table(("node", "trail", "lines", "head"), map(_row, answers))
    _complain(answers)
    return collect.exit_code(answers)


def _offline(files: tuple[pathlib.Path, ...], head: str, *, as_json: bool) -> int:
    from tasks.audit import offline

    checked = offline.check(files, head=offline.head_of(head) if head else None)
    if as_json:
        print_json(checked.as_dict())
    elif checked.fault is None and checked.head is not None:
        number, sha256 = checked.head
        sys.stdout.write(f"lines {checked.first} to {number} are whole; head {number}:{sha256}\n")
    if checked.fault is not None:
        sys.stderr.write(f"gaxx: {checked.fault}\n")
    return 2 if checked.fault else 0


def _row(answer: "Collected") -> tuple[str, ...]:
    state = "not reached" if answer.error else "broken" if answer.fault else "whole"
    head = f"{answer.head.sequence}:{answer.head.sha256}" if answer.head else "-"
    return answer.node, state, "-" if answer.error else str(answer.lines), head


def _complain(answers: "list[Collected]") -> None:
    for answer in answers:
        for text in answer.notices:
            sys.stderr.write(f"gaxx: {answer.node}: {text}\n")
        if answer.error:
            seen = answer.kept.head()
            held = f"what it wrote up to line {seen.sequence} is here" if seen else "nothing of it is here"
            sys.stderr.write(f"gaxx: {answer.node}: {answer.error}; {held}\n")
        if answer.fault is not None:
            sys.stderr.write(f"gaxx: {answer.node}: {answer.fault}\n")
