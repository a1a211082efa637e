"""`gaxx up`, `gaxx preview`, `gaxx down`: Pulumi on this terminal."""

import collections.abc
import pathlib
import sys

import click

from components.errors import GaxxError
from tasks import inventory
from tasks.cli.options import stack_option
from tasks.updates import deploy, locks

_PASSED_ON = {"ignore_unknown_options": True, "allow_interspersed_args": True, "help_option_names": ["-h", "--help"]}


@click.command("up", context_settings=_PASSED_ON)
@stack_option
@click.option("--yes", "-y", is_flag=True, help="Ask nothing; cancel the lock of an update whose process is gone.")
@click.option(
    "--plan",
    type=click.Path(dir_okay=False, path_type=pathlib.Path),
    metavar="FILE",
    help="Do what `gaxx review --save-plan FILE` planned, and only if nothing has changed since.",
)
@click.argument("extra", nargs=-1, type=click.UNPROCESSED, metavar="[PULUMI OPTIONS]…")
def up_command(*, stack: str, yes: bool, plan: pathlib.Path | None, extra: tuple[str, ...]) -> None:
    """Make or change the fleet: `pulumi up` with a parallelism that fits it.

    Every other option is Pulumi's own. Exit 2 when a policy refuses or a plan is not what was reviewed, 1 when
    Pulumi fails.
    """
    if plan is not None:
        from tasks.review import plan as reviewed

        reviewed.check(plan, inventory.stack_named(stack))
        extra = (*reviewed.arguments(plan), *extra)
    _deploy("up", stack, extra, yes=yes)


@click.command("preview", context_settings=_PASSED_ON)
@stack_option
@click.argument("extra", nargs=-1, type=click.UNPROCESSED, metavar="[PULUMI OPTIONS]…")
def preview_command(*, stack: str, extra: tuple[str, ...]) -> None:
    """Show what `up` would change: `pulumi preview`.

    Every other option is Pulumi's own. Exit 2 when a policy refuses, 1 when Pulumi fails.
    """
    _deploy("preview", stack, extra, yes=None)


@click.command("down", context_settings=_PASSED_ON)
@stack_option
@click.option("--yes", "-y", is_flag=True, help="Ask nothing; cancel the lock of an update whose process is gone.")
@click.option(
    "--force",
    is_flag=True,
    help="In an incident: end the machines first, at their vendors and here, whoever holds the lock.",
)
@click.argument("extra", nargs=-1, type=click.UNPROCESSED, metavar="[PULUMI OPTIONS]…")
def down_command(*, stack: str, yes: bool, force: bool, extra: tuple[str, ...]) -> None:
    """Destroy the fleet: `pulumi destroy`. The stack and its configuration stay.

    With --force all that carries the stack's marks goes at once: no node is told before, and neither lock, passphrase
    nor state is needed; then Pulumi destroys what its state still has. Exit 5 when something may be left, 1 when
    Pulumi alone failed. Every other option is Pulumi's own.
    """
    if force:
        _end(inventory.stack_named(stack), extra, yes=yes)
    else:
        _deploy("destroy", stack, extra, yes=yes)


def _end(stack: inventory.Stack, extra: tuple[str, ...], *, yes: bool) -> None:
    from tasks.reap import forced

    def say(text: str) -> None:
        click.echo(f"gaxx: {text}", err=True)

    doomed = forced.look(stack)
    if not doomed.has_state:
        # Then only the vendors know of machines, and of those that were not asked nothing is known.
        for note in doomed.survey.notes:
            say(note)
    if doomed.is_nothing:
        # Perhaps a slip of the pen: whoever is in a hurry must not believe that it is done.
        message = f"this backend has no stack {stack.name}, and nothing that was found carries its marks"
        raise GaxxError(message, hint="`pulumi stack ls` names the stacks, `gaxx reap` lists what no state knows")
    say(f"{stack.name}: {doomed}")
    if not yes and not (sys.stdin.isatty() and click.confirm("End them now, whatever they do?", err=True)):
        message = "nothing was changed"
        raise GaxxError(message, hint="--yes does it without asking")
    done = forced.end(doomed, stack, say, extra=extra)
    say(f"{stack.name} is gone; deleted by force: {sum(one.outcome == 'deleted' for one in done)}")


def _deploy(verb: str, stack: str, extra: tuple[str, ...], *, yes: bool | None) -> None:
    arguments = [*(["--yes"] if yes else []), *extra]
    deploy.deploy(verb, inventory.stack_named(stack), arguments, confirm=confirming(yes=bool(yes)))


def applying(stack: inventory.Stack, *, yes: bool) -> collections.abc.Callable[[], None]:
    """Return what goes `up` once the stack file is changed; raise GaxxError now when it could not ask."""
    answers = ["--yes"] if yes else []
    deploy.must_be_answered(answers)
    return lambda: deploy.deploy("up", stack, answers, confirm=confirming(yes=yes))


def confirming(*, yes: bool) -> locks.Confirm:
    """Ask on the terminal, where there is one; `yes`: ask nothing, and agree to what is certain."""

    def confirm(question: str, *, certain: bool) -> bool:
        if yes:
            return certain
        return sys.stdin.isatty() and click.confirm(question, err=True)

    return confirm
