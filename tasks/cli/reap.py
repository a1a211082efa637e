"""`gaxx reap`: what is over, idle or forgotten, and with --yes its end."""

import sys

import click

from components import backend
from components.errors import GaxxError
from components.settings_reader import parse_duration
from tasks.cli.options import json_option, print_json, table
from tasks.reap import report
from tasks.reap.survey import Survey, Wishes


@click.command("reap")
@click.option("--stack", "-s", default="", metavar="S", help="Only this stack; all of the project when not given.")
@click.option("--yes", "-y", is_flag=True, help="Destroy and delete; without it nothing is changed.")
@click.option(
    "--grace",
    default="30m",
    show_default=True,
    metavar="30m",
    help="Younger than this nothing is an orphan: an update may be making it. 0 when none is.",
)
@json_option
def reap_command(*, stack: str, yes: bool, grace: str, as_json: bool) -> int:
    """Find stacks whose time is over or whose nodes are idle, and what no state knows of; destroy it with --yes.

    Asks the vendors whose tokens are in the environment (LINODE_TOKEN, VULTR_API_KEY), every stack of this project on
    this backend, and this computer's folders of local nodes. Deletes only what carries the marks of this project and
    this backend; what somebody else's marks are on is listed and left. Exit 5 when something could not be asked,
    read or deleted: then the answer is not whole.
    """
    from tasks.reap import removal, survey

    wishes = Wishes(stack=stack, grace_s=_seconds(grace))
    found = survey.survey(backend.project_root(), wishes)
    done = removal.remove(found, _say) if yes else []
    if as_json:
        for record in report.records(found, done):
            print_json(record)
    else:
        _tell(found)
    for note in found.notes:
        _say(note)
    for fault in found.faults:
        _say(fault)
    for one in done:
        if one.outcome in ("failed", "left"):
            _say(f"{one.what}: {one.outcome}: {one.why}")
    _say(report.sentence(found, done if yes else None))
    return report.exit_code(found, done)


def _tell(found: Survey) -> None:
    stacks, things = report.stack_rows(found), report.thing_rows(found)
    if stacks:
        table(report.STACK_COLUMNS, stacks)
    if things:
        if stacks:
            sys.stdout.write("\n")
        table(report.THING_COLUMNS, things)


def _seconds(text: str) -> float:
    if text == "0":
        return 0.0
    try:
        return float(parse_duration(text))
    except ValueError as error:
        message = f"--grace: {error}"
        raise GaxxError(message) from error


def _say(text: str) -> None:
    sys.stderr.write(f"gaxx: {text}\n")
    sys.stderr.flush()
