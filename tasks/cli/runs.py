"""`gaxx runs`: what became of runs, and going on with them."""

import os
import signal
import sys
import time
import typing

import click

from components.errors import GaxxError
from tasks import words
from tasks.cli.map import drive, watcher_for
from tasks.cli.options import find, json_option, print_json, table

if typing.TYPE_CHECKING:
    from tasks.work.run_report import RunReport


@click.group("runs", invoke_without_command=True)
@json_option
@click.pass_context
def runs_command(context: click.Context, *, as_json: bool) -> int:
    """List the runs of `gaxx map` and `gaxx job`, the latest last; or look at one.

    A run is named by its id, the beginning or the end of it, or `last`.
    """
    if context.invoked_subcommand is not None:
        return 0
    from tasks.work.run_report import overview

    rows = overview()
    if as_json:
        for row in rows:
            print_json({"event": "run", **row})
        return 0
    table(
        ("run", "stack", "items", "ok", "failed", "left", "state", "command"),
        (
            (
                row["run"], row["stack"], str(row["total"]), str(row["ok"]), str(row["bad"]), str(row["left"]),
                row["state"], row["command"][:60],
            )
            for row in rows
        ),
    )  # fmt: skip
    return 0


@runs_command.command("show")
@json_option
@click.argument("run")
def show_command(*, as_json: bool, run: str) -> int:
    """Ledger, slowest items, and failures folded by equal stderr."""
    from tasks.work.run_folder import find_run
    from tasks.work.run_report import RunReport

    report = RunReport(find_run(run))
    if as_json:
        print_json(report.as_dict())
    else:
        _show(report)
    return 0


@runs_command.command("explain")
@json_option
@click.argument("run")
@click.argument("item")
def explain_command(*, as_json: bool, run: str, item: str) -> int:
    """One item's whole timeline; ITEM is its number (from 1) or its bytes."""
    from tasks.work.explain import explain
    from tasks.work.run_folder import find_run

    steps = explain(find_run(run), os.fsencode(item))
    if as_json:
        for step in steps:
            print_json(step)
        return 0
    for step in steps:
        sys.stdout.write(f"{step['time']}  {step['text']}\n")
    return 0


@runs_command.command("diff")
@json_option
@click.argument("before")
@click.argument("after")
def diff_command(*, as_json: bool, before: str, after: str) -> int:
    """Which items came out otherwise: newly failing, newly passing, another output, gone, new."""
    from tasks.work.run_diff import diff
    from tasks.work.run_folder import find_run

    groups = diff(find_run(before), find_run(after))
    if as_json:
        print_json({"event": "diff", "before": before, "after": after, **{g.name: g.as_dict() for g in groups}})
        return 0
    for group in groups:
        if group.count:
            shown = ", ".join(group.examples)
            more = f" and {group.count - len(group.examples)} more" if group.count > len(group.examples) else ""
            sys.stdout.write(f"{group.title}: {group.count}: {shown}{more}\n")
    if not any(group.count for group in groups):
        sys.stdout.write("no difference\n")
    return 0


@runs_command.command("attach")
@click.option("--retry-failed", is_flag=True, help="Try again what failed.")
@click.option("--background", is_flag=True, hidden=True)
@json_option
@click.argument("run")
def attach_command(*, retry_failed: bool, background: bool, as_json: bool, run: str) -> int:
    """Show a run that goes on in the background; go on with one that nobody drives."""
    from tasks.work import begin
    from tasks.work.follow import follow
    from tasks.work.run_folder import find_run
    from tasks.work.run_report import RunReport

    folder = find_run(run)
    if not background and (folder.driver() or (not retry_failed and RunReport(folder).state == "complete")):
        return follow(folder, as_json=as_json)
    manifest = folder.read_manifest()
    os.chdir(manifest["stack"]["root"] if not os.path.isdir(manifest["cwd"]) else manifest["cwd"])  # noqa: PTH112
    options = folder.options()
    found, chosen = find(manifest["stack"]["name"], options.nodes)
    watcher = watcher_for(as_json=as_json)
    opened = begin.attached_run(folder, watcher, retry_failed=retry_failed)
    return drive(opened, begin.Fleet(found, chosen), watcher, as_json=as_json, background=background)


@runs_command.command("cancel")
@click.option("--now", is_flag=True, help="Also end the items that run.")
@click.argument("run")
def cancel_command(*, now: bool, run: str) -> int:
    """Stop a run that goes on elsewhere: what runs may finish, or, with --now, is ended."""
    from tasks.work.run_folder import find_run

    folder = find_run(run)
    pid = folder.driver()
    if not pid:
        message = f"nobody drives run {folder.id}"
        raise GaxxError(message, hint="`gaxx runs` shows which runs go on")
    for _ in range(2 if now else 1):
        os.kill(pid, signal.SIGINT)
        # Two signals of one kind that wait together are one.
        time.sleep(0.2)
    sys.stderr.write(f"gaxx: run {folder.id} is being cancelled (process {pid})\n")
    return 0


def _show(report: "RunReport") -> None:
    write = sys.stdout.write
    write(f"{report.id}: {report.command}\n")
    write(f"  {report.state}; {report.ledger}\n")
    for line in report.provenance:
        write(f"  {line}\n")
    if report.slowest:
        write("slowest:\n")
        for index, seconds, node in report.slowest:
            write(f"  {words.duration(seconds) if seconds >= 60 else f'{seconds:.3f}s'}  item {index + 1} on {node}\n")  # noqa: PLR2004
    for fold in report.failures:
        write(f"{fold.count} failed alike ({fold.how}): {fold.items}\n")
        for line in fold.stderr.splitlines()[-10:]:
            write(f"  | {line}\n")
