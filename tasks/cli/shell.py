"""`gaxx ssh` and `gaxx tunnel`: OpenSSH with the inventory's pinned keys."""

import sys

import click

from components.errors import GaxxError
from components.inventory import Node
from tasks.cli.options import find, stack_option
from tasks.inventory import Found
from tasks.ssh import openssh

HIGHEST_PORT = 65535


@click.command("ssh", context_settings={"allow_interspersed_args": False})
@stack_option
@click.option("-A", "forward_agent", is_flag=True, help="Forward your SSH agent, for this session only.")
@click.argument("node")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh_command(*, stack: str, forward_agent: bool, node: str, command: tuple[str, ...]) -> int:
    """Open a shell on NODE, or run COMMAND there through SSH.

    The host key must be the one that the inventory pins. Exit code 3 when COMMAND exits otherwise than 0.
    """
    found, target = _one(stack, node)
    # Options end before NODE, so that Click leaves a `--` behind it alone.
    words = command[1:] if command[:1] == ("--",) else command
    openssh.session(found, target, command=words, forward_agent=forward_agent)
    return 0


@click.command("tunnel")
@stack_option
@click.argument("node")
@click.argument("ports", metavar="[LOCAL:][HOST:]PORT")
def tunnel_command(*, stack: str, node: str, ports: str) -> int:
    """Forward a port of 127.0.0.1 here to a port on NODE, or to a host that NODE can reach, until Ctrl-C.

    gaxx tunnel demo-1 8000, gaxx tunnel demo-1 9000:8000, gaxx tunnel demo-1 5432:db.internal:5432
    """
    found, target = _one(stack, node)
    local, host, remote = _ports(ports)
    sys.stderr.write(f"gaxx: 127.0.0.1:{local} is {host}:{remote} of {target.name}; Ctrl-C ends it\n")
    openssh.tunnel(found, target, local, host, remote)
    return 0


def _one(stack: str, name: str) -> tuple[Found, Node]:
    found, chosen = find(stack, name)
    if len(chosen) != 1:
        message = f"{name}: {len(chosen)} nodes, one was expected"
        raise GaxxError(message)
    return found, chosen[0]


def _ports(text: str) -> tuple[int, str, int]:
    parts = text.split(":")
    remote = _port(parts[-1], text)
    match parts[:-1]:
        case []:
            return remote, "127.0.0.1", remote
        case [first]:
            return (_port(first, text), "127.0.0.1", remote) if first.isdigit() else (remote, first, remote)
        case [first, host]:
            return _port(first, text), host, remote
    message = f"{text}: [LOCAL:][HOST:]PORT was expected"
    raise click.UsageError(message)


def _port(text: str, whole: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= HIGHEST_PORT:
        message = f"{whole}: {text!r} is no port; 1 to {HIGHEST_PORT} was expected"
        raise click.UsageError(message)
    return int(text)
