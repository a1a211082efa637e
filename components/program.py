"""The root program: reads the stack's configuration once and declares what it says."""

import asyncio
import contextlib
import json
import os
import pathlib
import tempfile
import typing

import pulumi
from pulumi.runtime.resource import register_resource_outputs

from components import left_out
from components.authority import Authority
from components.backend import backend_id, current_backend_url, ensure_own_id, project_root
from components.clouds import cloud
from components.declared import InventoryDocument, Sweep
from components.errors import GaxxError, SettingsError
from components.fleet import Fleet
from components.fleet_settings import FleetSettings
from components.operators import OperatorSettings
from components.places import authority_file, operator_dir, previous_authority_file, stack_key
from components.settings import KEYS, Settings, parse_settings
from components.stack_parts import StackParts, declare_certificates

_STRUCTURED = {key.name for key in KEYS if key.type == "array"}


def main() -> None:
    """Declare the stack; a wrong configuration is one message, not a traceback."""
    pulumi.run(_declared)


async def _declared() -> None:
    try:
        inventory = declare(_settings())
    except GaxxError as error:
        raise pulumi.RunError(str(error)) from None
    # Pulumi waits for all values in turn, and looks at all of them again whenever one is known: with fifty nodes
    # that keeps a processor busy as long as everything else that the program does. Of the last one it looks once.
    last = asyncio.ensure_future(inventory.output("document").future())
    await asyncio.wait({last})
    # What went wrong it finds by itself, and says it.
    last.cancelled() or last.exception()


def declare(settings: Settings) -> InventoryDocument:
    """Declare provider, sweep, operators, fleets and inventory, export the inventory and return it."""
    root = project_root()
    url = current_backend_url(root)
    ensure_own_id(url, root)
    backend = backend_id(url, root)
    if settings.paid and url.startswith("file://") and pathlib.Path(url.removeprefix("file://")).is_relative_to(root):
        pulumi.warn("the backend lies inside this clone, which is then the only thing that knows of the machines")
    key = stack_key(backend, settings.project, settings.stack)
    _require_possible(settings)
    left_out.require_known(settings.fleets)
    # Who may use it comes first: a stack without operators must not leave an authority behind.
    operators = settings.operators or (_embedded_operator(settings),)
    provider = _provider(settings, backend)
    mine = pulumi.ResourceOptions(provider=provider)
    clouds = sorted({fleet.cloud for fleet in settings.fleets if fleet.paid})
    parts = StackParts(
        backend_id=backend,
        stack_key=key,
        sweep=Sweep("sweep", {"stackKey": key, "backendId": backend, "clouds": clouds}, mine),
        certificates=declare_certificates(operators, settings.token_generation, settings.key_generation, mine),
        key_generation=settings.key_generation,
        ttl_s=settings.ttl_s,
        denied_serials=settings.denied_serials,
        jump_host=settings.jump_host,
    )
    fleets = [
        Fleet(fleet.name, _arguments(fleet), pulumi.ResourceOptions(providers=[provider]), parts=parts)
        for fleet in settings.fleets
    ]
    inventory = InventoryDocument(
        "inventory",
        {
            "backendId": backend,
            "nodes": pulumi.Output.all(*[fleet.nodes for fleet in fleets]).apply(
                lambda lists: [node for nodes in lists for node in nodes]
            ),
            "principals": [_principal(operator, certificate) for operator, certificate in parts.certificates],
            "missing": pulumi.Output.all(*[fleet.missing for fleet in fleets]).apply(
                lambda lists: [name for names in lists for name in names]
            ),
        },
        # Written once everything works, so that the cache never names a node that was not enrolled.
        pulumi.ResourceOptions(provider=provider, depends_on=fleets),
    )
    pulumi.export("inventory", pulumi.Output.secret(inventory.output("document")))
    return inventory


def _require_possible(settings: Settings) -> None:
    """Raise SettingsError with all that the clouds cannot do, before anything is made."""
    faults = [
        (f"gaxx:fleets[{index}].{key}", text)
        for index, fleet in enumerate(settings.fleets)
        for key, text in cloud(fleet.cloud).faults(fleet)
    ]
    if faults:
        raise SettingsError(tuple(faults))


def _principal(operator: OperatorSettings, certificate: typing.Any) -> dict[str, typing.Any]:
    return {
        "name": operator.name,
        "role": operator.role,
        "certificate": certificate.output("certificate"),
        "key_sha256": certificate.output("keySha256"),
        "token": certificate.output("token"),
    }


def _settings() -> Settings:
    """Read every `gaxx:` key of the stack, secret ones included: settings keep none of them."""
    config = pulumi.Config("gaxx")
    prefix = "gaxx:"
    names = {name.removeprefix(prefix) for name in _all_config() if name.startswith(prefix)}
    values: dict[str, object] = {}
    for name in names:
        text = config.get(name)
        values[name] = _structured(name, text) if name in _STRUCTURED and text is not None else text
    return parse_settings(values, project=pulumi.get_project(), stack=pulumi.get_stack())


def _all_config() -> dict[str, str]:
    loaded: dict[str, str] = json.loads(os.environ.get("PULUMI_CONFIG", "{}"))
    return loaded


def _structured(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise SettingsError(((f"gaxx:{name}", "a list was expected, not text"),)) from None


def _provider(settings: Settings, backend: str) -> pulumi.ProviderResource:
    """Our provider, with the stack's authority as its own secret configuration, and nowhere else."""
    config = pulumi.Config("gaxx")
    declared = config.get_secret("authorityKey")
    keys = {
        "authorityKey": declared or pulumi.Output.secret(_embedded_authority(settings, backend)),
        "previousAuthorityKey": config.get_secret("previousAuthorityKey")
        or (None if declared else _embedded_previous(settings, backend)),
    }
    provider = pulumi.ProviderResource("gaxx", "gaxx", {name: key for name, key in keys.items() if key is not None})
    # The engine makes a provider's outputs by copying its inputs: without this the state would hold the key twice.
    register_resource_outputs(provider, {})
    return provider


def _embedded_authority(settings: Settings, backend: str) -> str:
    """The authority of a stack of free machines that declares none: made at first use, 0600, swept in a destroy."""
    path = authority_file(backend, settings.project, settings.stack)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        with tempfile.NamedTemporaryFile("w", dir=path.parent) as file:  # made 0600
            file.write(Authority.create(settings.stack).pem)
            file.flush()
            # Of two programs that start at once the first one's key holds for both.
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(file.name)
    return path.read_text()


def _embedded_previous(settings: Settings, backend: str) -> "pulumi.Output[str] | None":
    """The authority that such a one takes over from."""
    path = previous_authority_file(authority_file(backend, settings.project, settings.stack))
    return pulumi.Output.secret(path.read_text()) if path.exists() else None


def _embedded_operator(settings: Settings) -> OperatorSettings:
    """This user, for a stack of free machines that names no operators."""
    path = operator_dir() / "operator.json"
    try:
        own = json.loads(path.read_text())
    except FileNotFoundError:
        message = f"gaxx:operators: the stack {settings.stack} names none, and this user has no operator key at {path}"
        raise GaxxError(message, hint='eval "$(gaxx env)" makes one') from None
    return OperatorSettings(
        name=own["name"],
        role="operator",
        ssh_public_key=own["sshPublicKey"],
        csr=own["csr"],
        key_sha256=own["keySha256"],
    )


def _arguments(fleet: FleetSettings) -> typing.Any:
    return {
        "nodes": fleet.nodes,
        "enough": fleet.enough,
        "cloud": fleet.cloud,
        "type": fleet.type,
        "regions": list(fleet.regions),
        "image": fleet.image,
        "trusted_cidrs": list(fleet.trusted_cidrs),
        "ssh_cidrs": list(fleet.ssh_cidrs),
        "private_network": fleet.private_network or None,
        "reach": fleet.reach,
        "packages": list(fleet.packages),
        "files": {file.path: {"content": file.content, "mode": file.mode} for file in fleet.files},
        "env": dict(fleet.env),
        "groups": list(fleet.groups),
        "slots": fleet.slots,
        "idle": f"{fleet.idle_s}s" if fleet.idle_s else None,
    }
