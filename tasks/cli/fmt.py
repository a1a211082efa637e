"""`gaxx fmt`: stack files in one form, comments kept."""

import pathlib
import sys

import click

from components import backend
from components.errors import GaxxError
from tasks import stack_files, stack_format
from tasks.cli.options import stack_option


@click.command("fmt")
@stack_option
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit 1 and name files that are not in form.")
@click.argument("files", nargs=-1, type=click.Path(path_type=pathlib.Path))
def fmt_command(*, stack: str, only_check: bool, files: tuple[pathlib.Path, ...]) -> int:
    """Format stack files: indentation, spaces, blank lines. Comments, order and quotes stay.

    Prints the name of each file that was, or with --check would be, changed.
    """
    changed = 0
    paths = [*files]
    if stack or not files:
        root = backend.project_root()
        paths += [stack_files.path_of(root, stack)] if stack else stack_files.paths(root)
    for path in paths:
        try:
            # Line ends as they are: another kind is another form.
            text = path.read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            message = f"{path}: {getattr(error, 'strerror', None) or error}"
            raise GaxxError(message) from error
        result = stack_format.formatted(text, path)
        if result != text:
            changed += 1
            sys.stdout.write(f"{path}\n")
            if not only_check:
                path.write_bytes(result.encode())
    return 1 if changed and only_check else 0
