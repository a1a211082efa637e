"""`gaxx map`: parse, spread the items over the nodes, print."""

import os
import pathlib
import sys
import typing

import click

from components.errors import GaxxError
from tasks.cli.options import find, json_option, nodes_option, print_json, stack_option


@click.command("map", context_settings={"allow_interspersed_args": False})
@stack_option
@nodes_option
@click.option("-a", "--arg-file", "source", type=click.File("rb"), default="-", help="Items, one a line; stdin if not given.")
@click.option("-0", "--null", "null", is_flag=True, help="Items end with a zero byte instead of a newline.")
@click.option("--chunk", type=click.IntRange(min=1), default=1, metavar="N", help="N lines are one item.")
@click.option("--attempts", type=click.IntRange(1, 255), default=1, show_default=True, help="Attempts an item, in all.")
@click.option("--timeout", default="", metavar="S|P%", help="Per item: seconds (90, 5m), or percent of the median (300%).")
@click.option("--halt", default="never", metavar="WHEN,WHAT=X", help="now|soon,fail|success|done=X or X%.")
@click.option("--results", default="", metavar="DIR", help="Also write each item's outputs into a folder of its own.")
@click.option("--return", "returns", multiple=True, metavar="GLOB", help="Bring these files back; placeholders are filled in.")
@click.option("--shell", is_flag=True, help="The command is a shell script; placeholders in it are quoted.")
@json_option
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
def map_command(
    *,
    stack: str,
    nodes: str,
    source: typing.BinaryIO,
    null: bool,
    chunk: int,
    attempts: int,
    timeout: str,
    halt: str,
    results: str,
    returns: tuple[str, ...],
    shell: bool,
    as_json: bool,
    argv: tuple[str, ...],
) -> int:
    """Execute a command once for each item, on whichever node is free."""
    from tasks.work.begin import begin
    from tasks.work.options import MapOptions
    from tasks.work.watch import PlainWatcher

    options = MapOptions(
        argv=tuple(map(os.fsencode, argv)),
        shell=shell,
        delimiter=b"\0" if null else b"\n",
        chunk=chunk,
        attempts=attempts,
        timeout=timeout,
        halt=halt,
        results=results,
        returns=tuple(map(os.fsencode, returns)),
        nodes=nodes,
    )
    found, chosen = find(stack, nodes)
    if not chosen:
        message = f"stack {found.stack.name} has no nodes"
        raise GaxxError(message, hint="its fleets declare none, or none is enrolled")
    watcher = PlainWatcher()
    ended = begin(options, source, found, chosen, watcher, as_json=as_json)
    if ended.exit_code == 141:
        raise BrokenPipeError(32, "closed")
    if as_json:
        print_json({"event": "ledger", "run": ended.run_id, **ended.ledger.as_dict()})
    else:
        watcher.note(f"run {ended.run_id}: {ended.ledger} in {ended.wall_s:.1f} s")
    return ended.exit_code
