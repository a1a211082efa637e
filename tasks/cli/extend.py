"""`gaxx extend`: parse, let live longer, tell."""

import click

from tasks import inventory
from tasks.cli.deploy import applying
from tasks.cli.options import stack_option
from tasks.updates import extend


@click.command("extend")
@click.argument("by", metavar="30m|4h|2d")
@stack_option
@click.option("--yes", "-y", is_flag=True, help="Ask nothing.")
def extend_command(*, by: str, stack: str, yes: bool) -> None:
    """Let a fleet live longer: add to its `gaxx:ttl` (commit the changed stack file), and apply it in place.

    Time counts from each machine's creation, so 2h more than a ttl of 4h ends it six hours after that. `gaxx:maxTtl` is
    the longest that is accepted.
    """
    found = inventory.stack_named(stack)
    up = applying(found, yes=yes)
    extend.extend(found, by, up, lambda text: click.echo(f"gaxx: {text}", err=True))
