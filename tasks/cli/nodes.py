"""`gaxx ls`, `gaxx status`, `gaxx inventory`: what there is, and how it fares."""

import asyncio
import sys

import click

from components.inventory import Node
from tasks import inventory, listing, status
from tasks.cli.options import find, json_option, nodes_option, print_json, stack_option, table
from tasks.selection import fold_names

PortList = tuple[int, ...]


_LAST_PORT = 65535


def _read_ports(context: click.Context, parameter: click.Parameter, text: str) -> PortList:
    del context, parameter
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        try:
            ports = range(int(first), int(last or first) + 1)
        except ValueError:
            ports = range(0)
        if not ports or ports[0] < 1 or ports[-1] > _LAST_PORT:
            message = f"{part!r} is no port and no range of ports; 1-1024,3000 would be"
            raise click.BadParameter(message)
        found.update(ports)
    return tuple(sorted(found))


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
@click.option("--exposure", is_flag=True, help="Ask every port from here and from a peer, and hold it to the rules.")
@click.option(
    "--ports", default="", callback=_read_ports, metavar="A-B,C", help="With --exposure: ask these ports, too."
)
@click.option("--why", is_flag=True, help="What keeps each node from being idle, and since when it is.")
@json_option
def status_command(
    *, stack: str, nodes: str, timeout: float, exposure: bool, ports: PortList, why: bool, as_json: bool
) -> int:
    """Ask every node's agent and sshd how they fare; exit 5 when a node, an agent or an sshd is dead.

    With --exposure ask every port instead: SSH, agent, metrics, 6060 and those where machines are most often found
    open, from here and from another node. Exit 3 when one is open or closed against what the stack file says.
    """
    found, chosen = find(stack, nodes)
    if exposure and why:
        message = "--why and --exposure are two questions: one at a time"
        raise click.UsageError(message)
    if exposure:
        return _exposure(found, chosen, timeout, ports, as_json=as_json)
    if ports:
        message = "--ports goes with --exposure"
        raise click.UsageError(message)
    answers = asyncio.run(status.ask(found, chosen, timeout_s=timeout))
    if as_json:
        for answer in answers:
            print_json(answer.as_dict())
    elif why:
        table(status.WHY_COLUMNS, (answer.why_row for answer in answers))
    else:
        table(status.COLUMNS, (answer.row for answer in answers))
    for answer in answers:
        if answer.fault:
            sys.stderr.write(f"gaxx: {answer.node}: {answer.fault}\n")
    if found.inventory.missing:
        sys.stderr.write(f"gaxx: declared, but not enrolled: {fold_names(found.inventory.missing)}\n")
    return status.exit_code(answers, missing=len(found.inventory.missing))


def _exposure(
    found: inventory.Found, chosen: tuple[Node, ...], timeout_s: float, ports: PortList, *, as_json: bool
) -> int:
    from tasks import declared
    from tasks.exposure import matrix

    answer = asyncio.run(matrix.ask(found, chosen, declared.settings_of(found.stack), timeout_s=timeout_s, ports=ports))
    if as_json:
        for cell in answer.cells:
            print_json(cell.as_dict())
    else:
        table(matrix.COLUMNS, answer.rows())
    for cell in answer.wrong:
        sys.stderr.write(f"gaxx: {cell.fault}\n")
    for fault in answer.unasked:
        sys.stderr.write(f"gaxx: {fault}\n")
    if answer.without_peers:
        sys.stderr.write(f"gaxx: no other node has a way to {fold_names(answer.without_peers)}: asked from here only\n")
    return answer.exit_code


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
    if refresh:
        inventory.fetch(inventory.stack_named(stack))
    found, chosen = find(stack, nodes)
    sys.stdout.write(listing.FORMATS[form](found, chosen))
