"""The `gaxx` program: verbs that load when they are called, and the one place where errors become exit codes."""

import collections.abc
import contextlib
import errno
import gc
import importlib
import os
import sys
import typing

# Loading modules makes many objects and no garbage: looking for some meanwhile takes a tenth of a short command.
gc.disable()

from tasks.cli import light_start  # noqa: E402 - after the above, and so below

if sys.argv[1:2] == ["run"]:
    light_start.leave_out()

import pathlib  # noqa: E402

import click  # noqa: E402

from components.errors import GaxxError, SettingsError  # noqa: E402
from tasks import env  # noqa: E402

VERBS = {
    # name: (module, one line of help); loading a verb costs up to half a second, naming it nothing.
    "init": ("tasks.cli.init", "Make operator keys, a stack and its commented stack file"),
    "env": ("tasks.cli.env", 'Print shell exports: eval "$(gaxx env)"'),
    "doctor": ("tasks.cli.doctor", "Check this machine and say what to mend"),
    "check": ("tasks.cli.check", "Validate stack files, with file:line"),
    "fmt": ("tasks.cli.fmt", "Format stack files; comments stay"),
    "policy": ("tasks.cli.policy", "Judge job templates and stack files by the policy pack"),
    "review": ("tasks.cli.review", "What a change to a fleet means, for a pull request"),
    "preview": ("tasks.cli.deploy", "Show what `up` would change (pulumi preview)"),
    "up": ("tasks.cli.deploy", "Make or change the fleet (pulumi up)"),
    "down": ("tasks.cli.deploy", "Destroy the fleet (pulumi destroy)"),
    "rotate": ("tasks.cli.rotate", "Renew tokens, keys and the authority of a fleet that goes on working"),
    "extend": ("tasks.cli.extend", "Let a fleet live longer"),
    "ls": ("tasks.cli.nodes", "List fleets and nodes"),
    "status": ("tasks.cli.nodes", "Ask every node how it fares"),
    "inventory": ("tasks.cli.nodes", "Print the inventory: json, ssh_config, ansible, prometheus"),
    "run": ("tasks.cli.run", "Execute a command once on every node"),
    "map": ("tasks.cli.map", "Execute a command once for each item, on whichever node is free"),
    "job": ("tasks.cli.job", "Execute a template of jobs/ as a map"),
    "runs": ("tasks.cli.runs", "What became of runs: show, attach, diff, cancel, explain"),
    "put": ("tasks.cli.put", "Put files onto every node"),
    "get": ("tasks.cli.get", "Get files from the nodes"),
    "sync": ("tasks.cli.sync", "Make a folder on every node like one here"),
    "ssh": ("tasks.cli.shell", "Open a shell on a node"),
    "tunnel": ("tasks.cli.shell", "Forward a local port to a node"),
    "reap": ("tasks.cli.reap", "Find, and with --yes remove, what is over, idle or forgotten"),
    "prices": ("tasks.cli.prices", "List what machine types cost an hour; --update asks the vendors"),
    "audit": ("tasks.cli.audit", "What happened on the nodes, tamper-evident: show, verify"),
    "rehearse": ("tasks.cli.rehearse", "Be a cloud on this computer, to rehearse a stack on"),
}


_OBJECTS_BETWEEN_COLLECTIONS = 20_000
"""Python looks for garbage when so many objects have come to be; its own number, 700, is for less memory."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every verb, in the order a user meets them."""
        return [*VERBS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb's module and return its command."""
        if cmd_name not in VERBS:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(VERBS[cmd_name][0])
        light_start.let_in()
        gc.freeze()
        gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
        gc.enable()
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; raise click.UsageError naming those that are written like it."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            # Click knows only the commands that are loaded.
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=VERBS, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, VERBS[name][1]) for name in self.list_commands(ctx) if name in VERBS])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="gaxx", prog_name="gaxx")
def gaxx() -> None:
    """Work with ephemeral fleets that Pulumi declares.

    stdout is data, all else stderr. Exit codes: 0 all well, 1 usage, configuration or internal error,
    2 refused, 3 the command or some items failed, 4 halted by a limit, 5 nodes unreachable or lost, 130 cancelled.
    """


def main(argv: collections.abc.Sequence[str] | None = None) -> int:
    """Run the program with these arguments, or those of the process; return its exit code."""
    try:
        # Verbs see what `eval "$(gaxx env)"` would have set, whether or not it was.
        os.environ.update(env.chosen())
        if "_GAXX_COMPLETE" in os.environ:
            gaxx.main(prog_name="gaxx")  # the shell asks for completions; ends the process
        # Not gaxx.main(): Click would turn a closed pipe into exit code 1.
        with gaxx.make_context("gaxx", list(sys.argv[1:] if argv is None else argv)) as context:
            code = gaxx.invoke(context)
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001 - the edge: a user never sees a traceback
        return explain(error)
    return code if isinstance(code, int) else 0


def program() -> typing.NoReturn:
    """Be the process `gaxx`: run the program and end with its exit code.

    The interpreter is not taken apart: with gRPC loaded that takes as long as a tenth of a short command, and
    nothing of ours is left for it to do.
    """
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def explain(error: BaseException) -> int:
    """Say in one line what went wrong, and return the exit code that stands for it."""
    code = 1
    match error:
        case click.exceptions.Exit():
            code = error.exit_code
        case SystemExit():
            code = error.code if isinstance(error.code, int) else 0
        case KeyboardInterrupt() | click.Abort():
            code = 130
        case SettingsError():
            code = error.exit_code
            say(error.message)
        case GaxxError():
            code = error.exit_code
            say(f"{error.message}; {error.hint}" if error.hint else error.message)
        case click.exceptions.NoArgsIsHelpError():
            sys.stderr.write(f"{error.format_message()}\n")
        case click.UsageError():
            # Click's own code for usage is 2, which means refused here.
            where = error.ctx.command_path if error.ctx else "gaxx"
            # Click writes choices in lines of their own.
            said = " ".join(error.format_message().split()).rstrip(".")
            say(f"{said} See `{where} --help`" if said.endswith("?") else f"{said}; see `{where} --help`")
        case click.ClickException():
            say(error.format_message())
        case OSError(errno=errno.EPIPE):
            code = _closed_pipe()
        case _:
            _unexpected(error)
    return code


def _closed_pipe() -> int:
    # The reader is gone: what is buffered must not be written again when the interpreter ends.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    return 141


def _unexpected(error: BaseException) -> None:
    import traceback

    from components import places
    from tasks import private

    path = places.private_dir() / "log" / f"gaxx-{os.getpid()}.log"
    try:
        private.replace(path, "".join(traceback.format_exception(error)))
        where = f"details in {path}"
    except (OSError, GaxxError) as fault:
        where = f"details could not be written to {path}: {fault}"
    text = " ".join(str(error).split()) or "no message"
    say(f"internal error: {type(error).__name__}: {text}; {where}")


def say(text: str) -> None:
    """Write one line of ours to stderr."""
    program = pathlib.Path(sys.argv[0]).name
    prefix = program if program == "fab" else "gaxx"
    try:
        sys.stderr.write(f"{prefix}: {text}\n")
        sys.stderr.flush()
    except BrokenPipeError:
        pass


if __name__ == "__main__":
    program()
