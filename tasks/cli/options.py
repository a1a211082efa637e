"""Options that many verbs share, and what they mean."""

import collections.abc
import os
import sys
import typing

import click

from components.errors import GaxxError
from components.inventory import Node
from tasks import inventory, selection

stack_option = click.option(
    "--stack", "-s", default="", metavar="S", help="The stack; the selected one when not given."
)
nodes_option = click.option(
    "--nodes", "-n", default="", metavar="SEL", help="Which nodes: 'demo-[1-4],@gpu!demo-2'; all when not given."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON lines on stdout.")


def find(stack: str, nodes: str = "") -> tuple[inventory.Found, tuple[Node, ...]]:
    """Return the inventory of the stack and the selected nodes."""
    found = inventory.find(inventory.stack_named(stack))
    try:
        return found, selection.select(found.inventory, nodes)
    except selection.UnknownNodeError as unknown:
        if not found.cached:
            raise
        # A node that the cache does not know may have been added from elsewhere.
        try:
            found = inventory.fetch(found.stack)
        except GaxxError:
            raise unknown from None
    return found, selection.select(found.inventory, nodes)


def coloured(file: typing.TextIO) -> bool:
    """Whether to use colour: on a terminal, unless NO_COLOR says otherwise."""
    return file.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_json(data: object, *, indent: int | None = None) -> None:
    """Print one JSON value on stdout."""
    import json

    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=indent) + "\n")


Row = collections.abc.Sequence[str]


def table(columns: Row, rows: collections.abc.Iterable[Row]) -> None:
    """Print rows: drawn on a terminal, plain aligned columns elsewhere."""
    cells = [list(row) for row in rows]
    if coloured(sys.stdout):
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        drawn = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            drawn.add_column(column, overflow="fold")
        for row in cells:
            drawn.add_row(*(Text.from_ansi(cell) for cell in row))
        Console().print(drawn)
        return
    widths = [max(len(row[index]) for row in [list(columns), *cells]) for index in range(len(columns))]
    for row in [[column.upper() for column in columns], *cells]:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
