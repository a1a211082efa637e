"""`gaxx init`: ask what was not said, make what is missing."""

import os
import sys

import click

from components import backend
from components.errors import GaxxError
from tasks import env, init
from tasks.cli.options import json_option, print_json

CLOUDS = ("local", "qemu", "linode", "vultr")


@click.command("init")
@click.option("--stack", "-s", required=True, metavar="S", help="The stack to make.")
@click.option("--cloud", "-c", type=click.Choice(CLOUDS), required=True, help="Where its nodes come from.")
@click.option("--nodes", type=click.IntRange(min=1), default=3, show_default=True, help="How many.")
@click.option("--fleet", default="", metavar="NAME", help="Name of the fleet; the stack's when not given.")
@click.option("--ttl", default="", metavar="4h", help="How long machines may live; 4h on clouds that cost money.")
@click.option("--type", "machine_type", default="", metavar="TYPE", help="Machine type; the cloud's smallest fit.")
@click.option("--region", "regions", multiple=True, metavar="R", help="Where; may be repeated.")
@click.option("--ssh-cidr", "ssh_cidrs", multiple=True, metavar="CIDR", help="Who may reach SSH; may be repeated.")
@click.option("--backend", "backend_url", default="", metavar="URL", help="Pulumi backend; asked for when not given.")
@click.option("--secrets-provider", default="", metavar="P", help="passphrase, awskms://…, gcpkms://…, …")
@click.option("--ci", type=click.Choice(["github"]), help="Also write workflows: review, apply, drift.")
@json_option
def init_command(  # noqa: PLR0913 - one parameter an option
    *,
    stack: str,
    cloud: str,
    nodes: int,
    fleet: str,
    ttl: str,
    machine_type: str,
    regions: tuple[str, ...],
    ssh_cidrs: tuple[str, ...],
    backend_url: str,
    secrets_provider: str,
    ci: str | None,
    as_json: bool,
) -> None:
    """Make a stack: operator keys (0600), the stack itself, its authority, and a commented stack file to review.

    Asks on a terminal for what was not given. Safe to repeat: what exists is kept.
    """
    from components.cloud_table import CLOUDS as TABLE

    row = TABLE[cloud]  # type: ignore[index] # click has checked it
    chosen = backend_url or _ask("Pulumi backend", backend.current_backend_url(backend.project_root()))
    if chosen:
        os.environ["PULUMI_BACKEND_URL"] = chosen
    provider = secrets_provider or _ask("Secrets provider", "passphrase")
    regions = regions or _several("Regions (comma-separated)", row.regions)
    ssh_cidrs = ssh_cidrs or (() if row.ssh_cidrs else _several("Addresses that may reach SSH (CIDRs)", ()))
    lacking = [
        option
        for option, value in (("--region", regions or row.regions), ("--ssh-cidr", ssh_cidrs or row.ssh_cidrs))
        if not value
    ]
    if lacking:
        message = f"{cloud} needs {' and '.join(lacking)}"
        raise GaxxError(message, hint="--ssh-cidr is the address you connect from, such as 203.0.113.7/32")
    made = init.init(
        init.Wishes(
            stack=stack, cloud=cloud, nodes=nodes, fleet=fleet or stack, ttl=ttl or ("4h" if row.paid else ""),
            type=machine_type or row.type, image=row.image, regions=regions, ssh_cidrs=ssh_cidrs,
            secrets_provider=provider,
        )
    )  # fmt: skip
    news = list(made.news)
    if ci:
        from tasks.ci import written

        news += [f"wrote {path}" for path in written.write(backend.project_root(), stack)]
    for line in news:
        sys.stderr.write(f"gaxx: {line}\n")
    if as_json:
        print_json({"file": str(made.file), "operator": made.operator.name, "stack": stack})
    else:
        sys.stdout.write(f"{made.file}\n")
    sys.stderr.write(f"gaxx: review it, then `pulumi up --stack {stack}`\n")
    if chosen and chosen != env.chosen().get("PULUMI_BACKEND_URL") and backend_url:
        sys.stderr.write(f"gaxx: for later commands: export PULUMI_BACKEND_URL={chosen}, or `pulumi login {chosen}`\n")


def _ask(question: str, default: str) -> str:
    if not sys.stdin.isatty():
        return default
    answer: str = click.prompt(question, default=default, err=True)
    return answer


def _several(question: str, default: tuple[str, ...]) -> tuple[str, ...]:
    answer = _ask(question, ",".join(default))
    return tuple(part.strip() for part in answer.split(",") if part.strip())
