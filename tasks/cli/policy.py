"""`gaxx policy check`: job templates and stack files, judged by the policy pack without anything being run."""

import dataclasses
import pathlib
import sys

import click

from components import backend
from tasks.cli.options import json_option, print_json


@click.group("policy")
def policy_command() -> None:
    """Ask the policy pack of this project."""


@policy_command.command("check")
@json_option
@click.argument("paths", nargs=-1, type=click.Path(path_type=pathlib.Path))
def check_command(*, as_json: bool, paths: tuple[pathlib.Path, ...]) -> int:
    """Judge job templates and stack files, or folders of them; all of the project's when none is given.

    One line a finding, as file:line: key: what is wrong [level rule]. Exit 2 when a mandatory rule is broken.
    """
    from tasks.review import templates

    root = backend.project_root()
    chosen = paths or tuple(path for path in (root / "jobs", root / "stacks") if any(path.glob("*.yaml")))
    findings = templates.judge(chosen, root)
    for finding in findings:
        if as_json:
            print_json(dataclasses.asdict(finding))
        else:
            sys.stdout.write(f"{finding}\n" + (f"  fix: {finding.fix}\n" if finding.fix else ""))
    mandatory = sum(finding.level == "mandatory" for finding in findings)
    advice = len(findings) - mandatory
    sys.stderr.write(f"gaxx: {mandatory or 'nothing'} refused, {advice or 'no'} advice\n")
    return 2 if mandatory else 0
