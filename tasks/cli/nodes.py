"""`gaxx ls`, `gaxx status`, `gaxx inventory`: what there is, and how it fares."""

import asyncio
import sys

import click

from tasks import listing, status
from tasks.cli.options import find, json_option, nodes_option, print_json, stack_option, table
from tasks.selection import fold_names


@click.command("ls")
@stack_option
@nodes_option
@json_option
def ls_command(*, stack: str, nodes: str, as_json: bool) -> None:
    """List fleets and nodes, as the inventory has them; asks nobody."""
    found, chosen = find(stack, nodes)
    if as_json:
        for node in chosen:
            print_json(listing.node_record(node))
        return
    fleets = listing.fleets(found.inventory, chosen)
    table(listing.FLEET_COLUMNS, (fleet.row for fleet in fleets))
    if chosen:
        sys.stdout.write("\n")
        table(listing.NODE_COLUMNS, (listing.node_row(node) for node in chosen))
    if found.inventory.missing:
        sys.stderr.write(f"gaxx: declared, but not enrolled: {fold_names(found.inventory.missing)}\n")


@click.command("status")
@stack_option
@nodes_option
@click.option("--timeout", type=click.FloatRange(min=0.1), default=5, show_default=True, metavar="S")
@json_option
def status_command(*, stack: str, nodes: str, timeout: float, as_json: bool) -> int:
    """Ask every node's agent and sshd how they fare; exit 5 when a node, an agent or an sshd is dead."""
    found, chosen = find(stack, nodes)
    answers = asyncio.run(status.ask(found, chosen, timeout_s=timeout))
    if as_json:
        for answer in answers:
            print_json(answer.as_dict())
    else:
        table(status.COLUMNS, (answer.row for answer in answers))
    for answer in answers:
        if answer.fault:
            sys.stderr.write(f"gaxx: {answer.node}: {answer.fault}\n")
    if found.inventory.missing:
        sys.stderr.write(f"gaxx: declared, but not enrolled: {fold_names(found.inventory.missing)}\n")
    return status.exit_code(answers, missing=len(found.inventory.missing))


@click.command("inventory")
@stack_option
@nodes_option
@click.option(
    "--format", "-f", "form", type=click.Choice(["json", "ssh_config", "ansible", "prometheus"]), default="json",
    show_default=True,
)  # fmt: skip
@click.option("--refresh", is_flag=True, help="Ask Pulumi, also where the cache has it.")
def inventory_command(*, stack: str, nodes: str, form: str, refresh: bool) -> None:
    """Print the inventory for other programs; never a token or a key."""
    from tasks import inventory

    if refresh:
        inventory.fetch(inventory.stack_named(stack))
    found, chosen = find(stack, nodes)
    sys.stdout.write(listing.FORMATS[form](found, chosen))
