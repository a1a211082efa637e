"""`gaxx review`: what a change to a fleet means, as a comment for a pull request."""

import pathlib
import sys

import click

from components import backend
from tasks.cli.options import print_json

FORMATS = ("markdown", "json", "terminal")


@click.command("review")
@click.option("--base", default="", metavar="REF", help="Compare with, and judge by; origin/HEAD, else main.")
@click.option("--head", default="", metavar="REF", help="What is proposed; the working tree when not given.")
@click.option("--stack", "-s", "stacks", multiple=True, metavar="S", help="May be repeated; those that differ.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="terminal on a terminal, else markdown.")
@click.option("--static", is_flag=True, help="Run no code of the head: stack files and plain values alone.")
@click.option("--state", is_flag=True, help="Ask the engine what it would do to the stack as it stands (login needed).")
@click.option(
    "--save-plan",
    type=click.Path(dir_okay=False, path_type=pathlib.Path),
    metavar="FILE",
    help="Keep the engine's plan for `gaxx up --plan FILE`, when nothing refuses; with --state, of one stack.",
)
def review_command(
    *,
    base: str,
    head: str,
    stacks: tuple[str, ...],
    form: str,
    static: bool,
    state: bool,
    save_plan: pathlib.Path | None,
) -> int:
    """Say what a change to a fleet means: machines, exposure, cost, rules. For a pull request, or before one.

    The rules and the words are those of the base: a branch cannot edit its own judge. By default base and head are
    previewed on a throw-away backend, without login, secrets or cloud token.
    Exit 2 when a mandatory rule or the stack file's own limits refuse, 1 when the preview fails.
    """
    from tasks.review import review

    wishes = review.Wishes(
        base=base, head=head, stacks=stacks, static=static, use_state=state, save_plan=save_plan,
        format=form or ("terminal" if sys.stdout.isatty() else "markdown"),
    )  # fmt: skip
    found = review.review(backend.project_root(), wishes)
    if not found:
        sys.stderr.write("gaxx: neither a stack nor a job template differs\n")
    for entry in found:
        if entry.model is not None:
            print_json(entry.model)
        else:
            sys.stdout.write(entry.text)
    codes = {entry.exit_code for entry in found}
    return 2 if 2 in codes else max(codes, default=0)  # noqa: PLR2004 - refused outranks failed
