"""`gaxx env`: shell exports on stdout, everything else on stderr."""

import shlex
import sys

import click

from tasks import env, identity
from tasks.cli.options import json_option, print_json


@click.command("env")
@json_option
def env_command(*, as_json: bool) -> None:
    """Print shell exports for Pulumi, and make what they name.

    Backend, PULUMI_HOME and passphrase file are given only where you have no login or choice of your own. Your
    operator keys are made too, when you have none. Safe to repeat.

        eval "$(gaxx env)"
    """
    variables = env.chosen()
    for path in env.prepare(variables):
        sys.stderr.write(f"gaxx: made {path}\n")
    operator, made = identity.ensure()
    if made:
        sys.stderr.write(f"gaxx: made operator keys for {operator.name} in {operator.folder}\n")
    if as_json:
        print_json(variables)
        return
    for name, value in variables.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
