"""`gaxx doctor`: one line a check."""

import dataclasses
import sys

import click

from tasks import doctor
from tasks.cli.options import coloured, json_option, print_json, stack_option

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor")
@stack_option
@json_option
def doctor_command(*, stack: str, as_json: bool) -> int:
    """Check this machine, its permissions and the stack in use; exit 1 when something fails.

    Each line says what is so, and after "->" what to do where it should not be.
    """
    found = []
    for check in doctor.checks(stack):
        found.append(check)
        if as_json:
            print_json(dataclasses.asdict(check))
            continue
        state = f"{check.state:<4}"
        shown = click.style(state, fg=_COLOURS[check.state]) if coloured(sys.stdout) else state
        fix = f" -> {check.fix}" if check.fix else ""
        sys.stdout.write(f"{shown}  {check.name:<14} {check.text}{fix}\n")
        sys.stdout.flush()
    return 1 if doctor.is_failing(found) else 0
