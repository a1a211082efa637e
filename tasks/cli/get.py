"""`gaxx get`: parse, receive, print."""

import click

from tasks.cli.options import json_option, nodes_option, stack_option
from tasks.cli.transfers import chosen_nodes, show, way_options
from tasks.run.command import Via


@click.command("get")
@stack_option
@nodes_option
@way_options
@json_option
@click.argument("words", nargs=-1, required=True, metavar="GLOB... DIR")
def get_command(
    *,
    stack: str,
    nodes: str,
    via: Via,
    fanout: int,
    connect_timeout: float,
    as_json: bool,
    words: tuple[str, ...],
) -> int:
    """Get files, and folders with all in them, from the nodes into DIR here.

    A GLOB is relative to your work folder on the node (where `gaxx run` starts), or absolute; `**` is any depth,
    hidden names must be said. Quote it. As with scp, DIR gets what the last part of GLOB names: 'out/*.png' gives
    DIR/1.png, 'out' gives DIR/out/1.png.

    From one node, a file goes to DIR/PATH. From several, it goes there when all who have it have the same content
    (or only one has it), and to DIR/NODE/PATH for each of them otherwise. Paths are written to stdout.

    A file appears whole, with its sha256 checked, or not at all; its mode is kept (without set-user-id). Names that
    nobody asked for, that lead out of DIR or through a link are refused. Where an agent does not answer, SFTP is used.

    The exit code is 0 when everything came, 3 when a file failed or a GLOB matches nothing anywhere, 5 when a node
    was not reached or was lost, 2 when something was refused, 130 after Ctrl-C.
    """
    from tasks.files import names
    from tasks.files.arrivals import Arrivals
    from tasks.files.jobs import Get
    from tasks.files.transfer import Way, carry
    from tasks.files.watch import Watch

    *globs, target = words
    if not globs:
        message = "say also where to: GLOB... DIR"
        raise click.UsageError(message)
    for glob in globs:
        names.split_glob(glob)
    found, chosen = chosen_nodes(stack, nodes)
    with (
        Arrivals(target, several=len(chosen) > 1) as arrivals,
        Watch(len(chosen), 0, as_json=as_json, names_paths=True) as watch,
    ):
        job = Get(globs, arrivals, watch)
        transfer = carry(found, chosen, job, Way(via, fanout, connect_timeout), watch)
        job.settle(transfer.reports)
    return show(transfer, watch, found, as_json=as_json, to_stdout=False)
