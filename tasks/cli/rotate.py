"""`gaxx rotate`: parse, renew, tell."""

import click

from tasks import inventory
from tasks.cli.deploy import applying
from tasks.cli.options import stack_option
from tasks.updates import rotate


@click.command("rotate")
@stack_option
@click.option("--tokens", is_flag=True, help="New bearer tokens for every operator and observer.")
@click.option("--keys", is_flag=True, help="New TLS and SSH host keys for the nodes, new certificates for operators.")
@click.option("--authority", is_flag=True, help="A new authority, in two updates, and all that it has signed.")
@click.option("--yes", "-y", is_flag=True, help="Ask nothing.")
def rotate_command(*, stack: str, tokens: bool, keys: bool, authority: bool, yes: bool) -> None:
    """Renew secrets of a fleet while it works: tokens and keys, when nothing else is said.

    The stack's configuration says what is in force (commit the changed stack file), `pulumi up` brings it about in
    place: no machine is replaced, and what runs goes on. Run it again when it was cut short.
    """
    wishes = rotate.Wishes(tokens or not (keys or authority), keys or not (tokens or authority), authority)
    found = inventory.stack_named(stack)
    up = applying(found, yes=yes)
    rotate.rotate(found, wishes, up, lambda text: click.echo(f"gaxx: {text}", err=True))
