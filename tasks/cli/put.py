"""`gaxx put`: parse, send, print."""

import click

from tasks.cli.options import json_option, nodes_option, stack_option
from tasks.cli.transfers import EXCLUDE, chosen_nodes, show, way_options
from tasks.run.command import Via


@click.command("put")
@stack_option
@nodes_option
@click.option("--to", default="", metavar="DEST", help="Where they go, said without doubt; then all words are FILEs.")
@EXCLUDE
@way_options
@json_option
@click.argument("files", nargs=-1, required=True, metavar="FILE... [DEST]")
def put_command(  # noqa: PLR0913 - one parameter an option
    *,
    stack: str,
    nodes: str,
    to: str,
    exclude: tuple[str, ...],
    via: Via,
    fanout: int,
    connect_timeout: float,
    as_json: bool,
    files: tuple[str, ...],
) -> int:
    """Put files, and folders with all in them, onto every node.

    DEST is relative to your work folder on the node (where `gaxx run` starts), or absolute. The last word is DEST
    when it ends with a slash (a folder, made when absent), or when there is just one FILE and no such file here
    (a new name). Wildcards that the shell has left are looked up here.

    A file appears on a node whole, with its sha256 checked, or not at all; its mode is kept (without set-user-id).
    What a node has already is not sent again, and what broke off goes on where it broke off. Links to files are
    followed; links to folders, devices and empty folders are left out. Where an agent does not answer, SFTP is used.

    The exit code is 0 when every node has every file, 3 when a file or a disk failed, 5 when a node was not
    reached or was lost, 2 when something was refused, 130 after Ctrl-C.
    """
    from tasks.files.jobs import Put
    from tasks.files.local_files import plan_put
    from tasks.files.transfer import Way, carry
    from tasks.files.watch import Watch

    plan = plan_put(files, to=to, exclude=exclude)
    found, chosen = chosen_nodes(stack, nodes)
    with Watch(len(chosen), plan.total_bytes * len(chosen), as_json=as_json) as watch:
        for path, why in plan.skipped:
            watch.note(f"{path}: {why}: left out")
        transfer = carry(found, chosen, Put(plan, watch), Way(via, fanout, connect_timeout), watch)
    return show(transfer, watch, found, as_json=as_json, to_stdout=True)
