"""The verbs of `gaxx` as Fabric tasks, made from the very same commands: same names, same options, same exit codes.

Invoke knows no free positionals: what follows the options on gaxx's command line is one option here, split as a
shell would split it (`fab run --command 'uname -a'`).
"""

import collections.abc
import inspect
import keyword
import shlex
import typing

import click
import fabric
import invoke

from tasks import identity, inventory, selection
from tasks.cli.main import VERBS, gaxx, main
from tasks.ssh import fabric_connection

CONNECT_TIMEOUT_S = 15.0


def connections(nodes: str = "", stack: str = "") -> list[fabric.Connection]:
    """Return one connection a selected node, not open yet; each belongs to one thread at a time."""
    found = inventory.find(inventory.stack_named(stack))
    operator = identity.load()
    chosen = selection.select(found.inventory, nodes)
    return [fabric_connection.connection(node, operator, connect_timeout_s=CONNECT_TIMEOUT_S) for node in chosen]


def _task(verb: str) -> invoke.Task[typing.Any]:
    command = gaxx.get_command(click.Context(gaxx), verb)
    if command is None:
        message = f"no verb {verb}"
        raise LookupError(message)
    parameters = [parameter for parameter in command.params if parameter.name]
    iterable = [_name(parameter) for parameter in parameters if _is_repeated(parameter)]

    def body(_context: invoke.Context, **given: typing.Any) -> None:
        code = main([verb, *_argv(parameters, given)])
        if code:
            raise invoke.Exit(code=code)

    body.__name__ = verb
    body.__doc__ = command.help
    context = inspect.Parameter("c", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    body.__signature__ = inspect.Signature([context, *map(_parameter, parameters)])  # type: ignore[attr-defined]
    texts = {_name(parameter).rstrip("_"): parameter.help for parameter in parameters if _has_help(parameter)}
    return invoke.task(body, iterable=iterable, positional=(), help=texts)


def _name(parameter: click.Parameter) -> str:
    """Name it as its longest option is called on the command line: json, not as_json."""
    longest = max(parameter.opts, key=len)
    name = longest.lstrip("-").replace("-", "_")
    # Invoke strips the underscore again: --return stays --return.
    return f"{name}_" if keyword.iskeyword(name) else name


def _is_repeated(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and parameter.multiple


def _has_help(parameter: click.Parameter) -> typing.TypeGuard[click.Option]:
    return isinstance(parameter, click.Option) and bool(parameter.help)


def _is_flag(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and parameter.is_flag


def _parameter(parameter: click.Parameter) -> inspect.Parameter:
    default: object = ""
    if _is_flag(parameter):
        default = bool(parameter.default)
    elif _is_repeated(parameter):
        default = []
    elif isinstance(parameter, click.Argument) and parameter.required:
        default = inspect.Parameter.empty
    return inspect.Parameter(_name(parameter), inspect.Parameter.KEYWORD_ONLY, default=default)


def _argv(parameters: collections.abc.Iterable[click.Parameter], given: dict[str, typing.Any]) -> list[str]:
    options: list[str] = []
    words: list[str] = []
    for parameter in parameters:
        value = given.get(_name(parameter))
        if isinstance(parameter, click.Argument):
            words += shlex.split(value or "")
            continue
        option = max(parameter.opts, key=len)
        if _is_flag(parameter):
            if value and not parameter.default:
                options.append(option)
            elif parameter.default and not value:
                options.append(max(parameter.secondary_opts, key=len))
        elif _is_repeated(parameter):
            for item in value or ():
                options += [option, item]
        elif value not in {"", None}:
            options += [option, str(value)]
    return [*options, *(["--"] if words else []), *words]


namespace = invoke.Collection()
for _verb in VERBS:
    namespace.add_task(_task(_verb), name=_verb)
