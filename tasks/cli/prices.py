"""`gaxx prices`: the table of machine types and what they cost an hour."""

import dataclasses
import sys

import click

from components import backend
from tasks import prices
from tasks.cli.options import json_option, print_json, table

COLUMNS = ("cloud", "type", "$/h", "$/day", "dearer regions")


@click.command("prices")
@click.option("--cloud", "-c", type=click.Choice(["linode", "vultr"]), help="Only this cloud's.")
@click.option("--update", is_flag=True, help="Ask the vendors, who tell everybody, and write the table; no token.")
@json_option
def prices_command(*, cloud: str | None, update: bool, as_json: bool) -> None:
    """List machine types with $/hour, from the project's table; it has a date and its sources.

    The table is policy/prices.json: budgets are judged by it, so a changed one is a change to be reviewed.
    """
    root = backend.project_root()
    if update:
        _update(prices.update(root), as_json=as_json)
        sys.stderr.write(f"gaxx: wrote {prices.path_of(root)}; commit it, budgets are judged by it\n")
        return
    found = prices.read(root)
    rows = [row for row in found.rows() if cloud in (None, row.cloud)]
    if as_json:
        for row in rows:
            print_json({**dataclasses.asdict(row), "date": found.date, "source": found.sources[row.cloud]})
        return
    dearer = {
        name: ", ".join(f"{region} x {factor:g}" for region, factor in sorted(regions.items()))
        for name, regions in found.regions.items()
    }
    table(
        COLUMNS,
        ((row.cloud, row.type, f"{row.hourly_usd:.4f}", f"{row.hourly_usd * 24:.2f}", dearer.get(row.cloud, ""))
         for row in rows),
    )  # fmt: skip
    for name in sorted({row.cloud for row in rows}):
        sys.stderr.write(
            f"gaxx: {name}: prices of {found.date}, from {found.sources[name]}; without tax and transfer\n"
        )


def _update(changes: list[prices.Change], *, as_json: bool) -> None:
    if as_json:
        for change in changes:
            print_json(dataclasses.asdict(change))
        return
    rows = [
        (one.cloud, one.type, *("-" if usd is None else f"{usd:.4f}" for usd in (one.before, one.after)))
        for one in changes
    ]
    if rows:
        table(("cloud", "type", "$/h before", "$/h now"), rows)
    else:
        sys.stderr.write("gaxx: no price has changed\n")
