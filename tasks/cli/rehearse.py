"""`gaxx rehearse`: a cloud on this computer."""

import asyncio
import sys

import click

SPEEDS = ("fast", "real")


@click.command("rehearse")
@click.option("--port", default=0, show_default="any free one", help="Port on 127.0.0.1.")
@click.option(
    "--speed",
    type=click.Choice(SPEEDS),
    default="fast",
    show_default=True,
    help="real: with the vendors' waits.",
)
@click.option("--faults", default="", metavar="NAME=RATE[/MOST],…", help="What goes wrong: 429=0.1,create-500=1/1.")
@click.option("--seed", default=0, show_default=True, help="The same seed goes wrong in the same way.")
@click.option("--stack", default="", metavar="S", help="Rehearse this stack, from preview to destroy.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND…]")
def rehearse_command(*, port: int, speed: str, faults: str, seed: int, stack: str, command: tuple[str, ...]) -> None:
    """Answer as Linode and Vultr do, on 127.0.0.1, with local nodes for machines.

    Prints the exports that lead Pulumi there, and serves until Ctrl-C; then every machine is removed.
    With --stack, runs preview, up, COMMAND on every node (default: true), an empty preview and destroy of a copy of
    that stack, on a backend that is thrown away; exit 0 when all went well and nothing was left.
    Faults: 429, 500, create-500, no-capacity, slow-boot, never-boot, mute, late-delete, disorder.
    """
    from tasks.rehearsal import session
    from tasks.rehearsal.faults import Faults, parse
    from tasks.rehearsal.service import SPEEDS as KNOWN
    from tasks.rehearsal.service import Rehearsal

    def say(text: str) -> None:
        click.echo(f"gaxx: {text}", err=True)

    def started(rehearsal: Rehearsal) -> None:
        click.echo(session.exports(rehearsal.environment()), nl=False)
        sys.stdout.flush()
        say(f"rehearsing Linode and Vultr on {rehearsal.url}; Ctrl-C ends it")

    wishes = Faults(parse(faults), seed=seed)
    if stack:
        asyncio.run(
            session.rehearse(stack, command or ("true",), port=port, speed=KNOWN[speed], faults=wishes, report=say)
        )
        return
    if command:
        message = "a command needs --stack"
        raise click.UsageError(message)
    left = asyncio.run(session.hold(started, port=port, speed=KNOWN[speed], faults=wishes, report=say))
    remaining = ", ".join(f"{count} {kind}" for kind, count in left.items() if count)
    if remaining:
        say(f"removed what was left: {remaining}")
