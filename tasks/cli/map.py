"""`gaxx map`: parse, spread the items over the nodes, print."""

import collections.abc
import contextlib
import errno
import os
import pathlib
import shlex
import sys
import typing

import click

from components.errors import GaxxError
from tasks import words
from tasks.cli.options import coloured, find, json_option, nodes_option, print_json, stack_option, table

if typing.TYPE_CHECKING:
    from components.inventory import Node
    from tasks.work.begin import Fleet, Turn
    from tasks.work.emit import Shown
    from tasks.work.job_template import Job
    from tasks.work.options import MapOptions
    from tasks.work.session import Watcher

CLOSED_PIPE = 141
FIRST_SHOWN = 5


@click.command("map", context_settings={"allow_interspersed_args": False})
@stack_option
@nodes_option
@click.option("-a", "--arg-file", "source", type=click.File("rb"), default="-", help="Items, one a line; else stdin.")
@click.option("-0", "--null", "null", is_flag=True, help="Items end with a zero byte instead of a newline.")
@click.option("--chunk", type=click.IntRange(min=1), default=1, metavar="N", help="N lines are one item.")
@click.option("--attempts", type=click.IntRange(1, 255), default=1, show_default=True, help="Attempts an item, in all.")
@click.option("--timeout", default="", metavar="S|P%", help="Per item: seconds, or a percentage of the median (300%).")
@click.option("--halt", default="never", metavar="WHEN,WHAT=X", help="now|soon,fail|success|done=X or X%.")
@click.option("--results", default="", metavar="DIR", help="Also write each item's outputs into a folder of its own.")
@click.option("--return", "returns", multiple=True, metavar="GLOB", help="Bring these files back; may be repeated.")
@click.option("--journal", "journal", type=click.Path(path_type=pathlib.Path), help="Keep the journal in this file.")
@click.option("--resume", is_flag=True, help="Go on with the latest run of this command (or of --journal).")
@click.option("--retry-failed", is_flag=True, help="Go on, and try again what failed.")
@click.option("--allow-changed", is_flag=True, help="Go on although command, files or environment are others.")
@click.option("--shuffle", metavar="SEED", help="Hand the items out in an order that depends on SEED alone.")
@click.option("--keep-order", "-k", is_flag=True, help="Print outputs in the order of the input.")
@click.option("--shell", is_flag=True, help="The command is a shell script; placeholders in it are quoted.")
@click.option("--env", "env", multiple=True, metavar="K[=V]", help="A variable for the items; K alone: its value here.")
@click.option("--cwd", default=".", show_default=True, metavar="DIR", help="Below the work folder on the nodes.")
@click.option("--isolate", is_flag=True, help="Each item in a fresh folder of its own on the node.")
@click.option("--slots", type=click.IntRange(0), default=0, metavar="N", help="Items at once on a node; else its own.")
@click.option("--rate", type=click.FloatRange(min=0), default=0, metavar="N", help="Start at most N items a second.")
@click.option("--canary", type=click.IntRange(0), default=0, metavar="N", help="First N items on one node first.")
@click.option("--max-cost", type=click.FloatRange(min=0), default=0, metavar="USD", help="Halt when that is spent.")
@click.option("--output-limit", type=click.IntRange(min=1), default=16, show_default=True, metavar="MIB")
@click.option("--keep-whole-output", is_flag=True, help="Keep what is beyond the limit in outputs/ on the node.")
@click.option("--lease", "lease_s", type=click.FloatRange(min=0.5), default=30, show_default=True, metavar="S")
@click.option("--speculate/--no-speculate", default=True, help="Second copies of the last stragglers.")
@click.option("--dry-run", is_flag=True, help="Print each item's command, execute nothing.")
@click.option("--detach", is_flag=True, help="Leave it to a process in the background; see `gaxx runs`.")
@json_option
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
def map_command(  # noqa: PLR0913 - the options that say how, not what
    *,
    stack: str,
    source: typing.BinaryIO,
    journal: pathlib.Path | None,
    resume: bool,
    dry_run: bool,
    detach: bool,
    as_json: bool,
    retry_failed: bool,
    allow_changed: bool,
    **asked: typing.Any,
) -> int:
    """Execute a command once for each item, on whichever node is free.

    {} is the item, {.} without extension, {/} its base name, {//} its folder, {/.} base name without extension,
    {#} its number. The items also find theirs in $GAXX_ITEM. No shell is implied: say `-- sh -c '… "$GAXX_ITEM"'`,
    or --shell. Exit codes: 0 all ok, 3 some failed, 4 halted by a limit, 5 nodes lost and items left, 130 cancelled.
    """
    from tasks.work import begin

    options = options_from(asked)
    if dry_run:
        return show_commands(options, source)
    found, chosen = find(stack, options.nodes)
    if not chosen:
        message = f"stack {found.stack.name} has no nodes"
        raise GaxxError(message, hint="its fleets declare none, or none is enrolled")
    fleet = begin.Fleet(found, chosen)
    watcher = watcher_for(as_json=as_json)
    if source.isatty():
        watcher.note("reading items from the terminal, one a line; Ctrl-D ends them")
    if resume or retry_failed:
        how = begin.Resumption(retry_failed=retry_failed, allow_changed=allow_changed)
        opened = begin.resumed_run(options, source, fleet, watcher, how, journal_path=journal)
    else:
        hint_at_placeholders(options, watcher)
        opened = begin.new_run(options, source, fleet, journal_path=journal)
    return drive(opened, fleet, watcher, as_json=as_json, detach=detach)


def options_from(asked: collections.abc.Mapping[str, typing.Any]) -> "MapOptions":
    """Make the run's options from the command line's; raise GaxxError, Refused."""
    from tasks.work.options import MapOptions

    return MapOptions(
        argv=tuple(map(os.fsencode, asked["argv"])),
        delimiter=b"\0" if asked["null"] else b"\n",
        env=tuple(_variable(text) for text in asked["env"]),
        returns=tuple(map(os.fsencode, asked["returns"])),
        output_limit_bytes=asked["output_limit"] << 20,
        **{name: asked[name] for name in _AS_THEY_ARE},
    )


_AS_THEY_ARE = (
    "nodes", "chunk", "attempts", "timeout", "halt", "results", "shuffle", "keep_order", "shell", "cwd", "isolate",
    "slots", "rate", "canary", "max_cost", "keep_whole_output", "lease_s", "speculate",
)  # fmt: skip


def watcher_for(*, as_json: bool) -> "Watcher":
    """Choose how the run is shown: lanes on a terminal, else lines, or events."""
    if as_json:
        from tasks.work.watch import JsonWatcher

        return JsonWatcher()
    if coloured(sys.stderr):
        from tasks.work.terminal import LaneWatcher

        return LaneWatcher()
    from tasks.work.watch import PlainWatcher

    return PlainWatcher()


def drive(
    opened: contextlib.AbstractContextManager["Turn"],
    fleet: "Fleet",
    watcher: "Watcher",
    *,
    as_json: bool,
    detach: bool = False,
    background: bool = False,
) -> int:
    """Drive a run to its end, or hand it to a process in the background; return the exit code."""
    with opened as turn:
        shown: Shown = "nothing" if background else "events" if as_json else "outputs"
        ended = None if detach else turn.drive(fleet, watcher, shown=shown)
        if ended is None:
            turn.spool_all()
    if ended is None:
        from tasks.work.detach import leave_behind

        pid = leave_behind(turn.folder)
        watcher.note(f"run {turn.folder.id} goes on in process {pid}; `gaxx runs attach {turn.folder.id}` shows it")
        sys.stdout.write(f"{turn.folder.id}\n")
        return 0
    if ended.exit_code == CLOSED_PIPE:
        raise BrokenPipeError(errno.EPIPE, "nobody reads our output any more")
    if as_json:
        print_json({"event": "ledger", "run": ended.run_id, **ended.ledger.as_dict()})
    else:
        reason = f"; {ended.reason}" if ended.reason else ""
        watcher.note(f"run {ended.run_id}: {ended.ledger} in {words.duration(ended.wall_s)}{reason}")
    return ended.exit_code


def show_split(job: "Job", source: typing.BinaryIO, nodes: collections.abc.Sequence["Node"], *, as_json: bool) -> int:
    """Say how a job's items would spread over the nodes, and show the first commands; execute nothing."""
    commands = []
    total = 0
    for total, argv in enumerate(_commands(job.options, source), 1):
        if total <= FIRST_SHOWN:
            commands.append([os.fsdecode(part) for part in argv])
    slots = {node.name: job.options.slots or node.slots for node in nodes}
    shares = {name: total * number / sum(slots.values()) for name, number in slots.items()}
    if as_json:
        rows = [{"node": name, "slots": slots[name], "share": round(shares[name], 1)} for name in slots]
        print_json({"event": "split", "job": job.name, "items": total, "nodes": rows, "first": commands})
        return 0
    sys.stdout.write(f"{job.name}: {job.description}\n")
    sys.stdout.write(f"{total} items, pulled by whichever node is free; shares at equal speed:\n")
    table(("node", "slots", "items"), ((name, str(slots[name]), f"{shares[name]:.0f}") for name in slots))
    sys.stdout.write("first commands:\n" + "".join(f"  {shlex.join(argv)}\n" for argv in commands))
    if job.merge.type != "none":
        sys.stdout.write(f"outputs: {job.merge.type} at {job.options.output}\n")
    return 0


def show_commands(options: "MapOptions", source: typing.BinaryIO) -> int:
    """Print each item's command as a shell would take it; execute nothing."""
    for argv in _commands(options, source):
        sys.stdout.buffer.write(os.fsencode(shlex.join(map(os.fsdecode, argv))) + b"\n")
    return 0


def _commands(options: "MapOptions", source: typing.BinaryIO) -> collections.abc.Iterator[list[bytes]]:
    import tempfile

    from tasks.work.items import Spool, blocks

    template = options.template
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(pathlib.Path(folder), delimiter=options.delimiter, chunk=options.chunk)
        for block in blocks(source):
            spool.feed(block)
        spool.finish()
        index = 0
        while index < spool.count:
            for item in spool.read(index, spool.count - index):
                yield template.command(item, index)
                index += 1


def hint_at_placeholders(options: "MapOptions", watcher: "Watcher") -> None:
    """Tell who comes from xargs that items are not appended, and who comes from parallel that no shell reads it."""
    if len(options.argv) == 1 and not options.shell and b" " in options.argv[0]:
        watcher.note("the command is one word with spaces in it, and no shell is implied: --shell makes it a script")
    elif not options.template.has_placeholder and not any(b"GAXX_ITEM" in part for part in options.argv):
        watcher.note("the command has no {}: it gets its item only as $GAXX_ITEM")


def _variable(text: str) -> tuple[str, bytes]:
    name, equals, value = text.partition("=")
    if not name or name.startswith("GAXX_"):
        message = f"--env {text}: K=V or K was expected, and names that begin with GAXX_ are set by gaxx itself"
        raise click.UsageError(message)
    if not equals:
        if name not in os.environ:
            message = f"--env {name}: it is not set here"
            raise click.UsageError(message)
        return name, os.fsencode(os.environ[name])
    return name, os.fsencode(value)
