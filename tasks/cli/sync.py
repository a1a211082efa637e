"""`gaxx sync`: parse, send what differs, print."""

import click

from components.errors import Refused
from tasks.cli.options import json_option, nodes_option, stack_option
from tasks.cli.transfers import EXCLUDE, chosen_nodes, show, way_options
from tasks.run.command import Via


@click.command("sync")
@stack_option
@nodes_option
@click.option("--delete", is_flag=True, help="Remove from DEST on the nodes what is not in DIR.")
@EXCLUDE
@way_options
@json_option
@click.argument("folder", metavar="DIR")
@click.argument("dest", default="", metavar="[DEST]")
def sync_command(  # noqa: PLR0913 - one parameter an option
    *,
    stack: str,
    nodes: str,
    delete: bool,
    exclude: tuple[str, ...],
    via: Via,
    fanout: int,
    connect_timeout: float,
    as_json: bool,
    folder: str,
    dest: str,
) -> int:
    """Make the folder DEST on every node like DIR.

    Without DEST it is called like DIR, in your work folder on the node. Only files whose sha256 differs are sent,
    with the same promises as `gaxx put`. With --delete, what DIR has not is removed from DEST on those nodes that
    got everything; what --exclude leaves out counts as not in DIR.

    Exit codes are those of `gaxx put`.
    """
    from tasks.files.jobs import Put
    from tasks.files.local_files import plan_sync
    from tasks.files.transfer import Way, carry
    from tasks.files.watch import Watch

    plan, target = plan_sync(folder, to=dest, exclude=exclude)
    if delete and not target.strip("/"):
        message = f"--delete would remove everything else in {'/' if target else 'your work folder'} on the nodes"
        raise Refused(message, hint="name a folder of its own as DEST")
    found, chosen = chosen_nodes(stack, nodes)
    job_below = target if delete else ""
    with Watch(len(chosen), plan.total_bytes * len(chosen), as_json=as_json) as watch:
        for path, why in plan.skipped:
            watch.note(f"{path}: {why}: left out")
        job = Put(plan, watch, delete_below=job_below)
        transfer = carry(found, chosen, job, Way(via, fanout, connect_timeout), watch)
    return show(transfer, watch, found, as_json=as_json, to_stdout=True)
