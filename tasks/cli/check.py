"""`gaxx check`: one line a fault, with file:line, as compilers write them."""

import dataclasses
import pathlib
import sys

import click

from components import backend
from components.errors import GaxxError
from tasks import check, stack_files
from tasks.cli.options import json_option, print_json, stack_option


@click.command("check")
@stack_option
@json_option
@click.argument("files", nargs=-1, type=click.Path(path_type=pathlib.Path))
def check_command(*, stack: str, as_json: bool, files: tuple[pathlib.Path, ...]) -> int:
    """Validate stack files and job templates; all of the project's when none is given. Exit 1 when one is wrong.

    Every fault of every file is told at once, as file:line: key: what is wrong; what would be right.
    """
    root = backend.project_root()
    paths = list(files)
    if stack:
        paths.append(root / "stacks" / f"Pulumi.{stack}.yaml")
    paths = paths or [*stack_files.paths(root), *check.job_files(root)]
    if not paths:
        message = f"no stack files in {root / 'stacks'}"
        raise GaxxError(message, hint="`gaxx init` writes one")
    faults = check.check_files(paths, root)
    for fault in faults:
        if as_json:
            print_json(dataclasses.asdict(fault))
        else:
            sys.stdout.write(f"{fault}\n")
    files_word = "1 file" if len(paths) == 1 else f"{len(paths)} files"
    faults_word = {0: "no fault", 1: "1 fault"}.get(len(faults), f"{len(faults)} faults")
    sys.stderr.write(f"gaxx: {files_word}: {faults_word}\n")
    return 1 if faults else 0
