"""`gaxx job`: a template from jobs/, executed as a map."""

import os
import pathlib
import sys
import tempfile
import typing

import click

from components import backend
from components.errors import GaxxError
from tasks.cli.map import drive, show_split, watcher_for
from tasks.cli.options import find, json_option, nodes_option, stack_option

if typing.TYPE_CHECKING:
    from tasks.work.job_template import Job


@click.command("job")
@stack_option
@nodes_option
@click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="Set a parameter of the template.")
@click.option("-o", "--output", default="", metavar="DIR", help="Where files and merged outputs go.")
@click.option("--resume", is_flag=True, help="Go on with the latest run of this job.")
@click.option("--retry-failed", is_flag=True, help="Go on, and try again what failed.")
@click.option("--allow-changed", is_flag=True, help="Go on although the template or its files are others.")
@click.option("--dry-run", is_flag=True, help="Show how the items would be split, execute nothing.")
@click.option("--detach", is_flag=True, help="Leave it to a process in the background; see `gaxx runs`.")
@json_option
@click.argument("name", required=False)
def job_command(
    *,
    stack: str,
    nodes: str,
    params: tuple[str, ...],
    output: str,
    dry_run: bool,
    detach: bool,
    as_json: bool,
    name: str | None,
    **how: bool,
) -> int:
    """Execute the job NAME of jobs/NAME.yaml (or a template's path); without NAME, list the jobs."""
    from tasks.work import begin, job_template

    root = backend.project_root()
    if name is None:
        return _list(root)
    job = job_template.load(job_template.locate(name, root), _pairs(params), output=output, nodes=nodes)
    found, chosen = find(stack, nodes)
    if not chosen:
        message = f"stack {found.stack.name} has no nodes"
        raise GaxxError(message, hint="its fleets declare none, or none is enrolled")
    with tempfile.TemporaryFile() as source:
        _write_items(job, source)
        if dry_run:
            return show_split(job, source, chosen, as_json=as_json)
        fleet = begin.Fleet(found, chosen)
        watcher = watcher_for(as_json=as_json)
        if how["resume"] or how["retry_failed"]:
            again = begin.Resumption(retry_failed=how["retry_failed"], allow_changed=how["allow_changed"])
            opened = begin.resumed_run(job.options, source, fleet, watcher, again)
        else:
            opened = begin.new_run(job.options, source, fleet)
        return drive(opened, fleet, watcher, as_json=as_json, detach=detach)


def _write_items(job: "Job", source: typing.BinaryIO) -> None:
    count = 0
    for item in job.items():
        source.write(item + job.options.delimiter)
        count += 1
    if not count:
        message = f"job {job.name} has no items"
        raise GaxxError(message, hint="its glob or file matches nothing here")
    source.flush()
    os.lseek(source.fileno(), 0, os.SEEK_SET)


def _pairs(params: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in params:
        name, equals, value = text.partition("=")
        if not equals:
            message = f"-p {text}: NAME=VALUE was expected"
            raise click.UsageError(message)
        pairs[name] = value
    return pairs


def _list(root: pathlib.Path) -> int:
    from tasks.cli.options import table
    from tasks.work import job_template

    rows = []
    for name in job_template.names(root):
        faults = job_template.check(job_template.locate(name, root))
        if faults:
            rows.append((name, str(faults[0])))
        else:
            rows.append((name, job_template.load(job_template.locate(name, root)).description))
    if not rows:
        sys.stderr.write(f"gaxx: no jobs in {job_template.folder_of(root)}\n")
        return 0
    table(("job", "does"), rows)
    return 0
