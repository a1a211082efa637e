"""Find the stack's inventory: the provider's 0600 cache first, `pulumi stack output` when there is none.

Starting Pulumi costs a second or two, reading the cache none: so nothing here asks Pulumi while the cache will do.
"""

import contextlib
import json
import pathlib
import typing

from components import backend, places
from components.errors import GaxxError, InventoryError, Refused
from components.inventory import Inventory
from tasks import identity, private
from tasks.pulumi_cli import PulumiError, pulumi

NO_SUCH_STACK = "no stack named"
"""In Pulumi's own words."""
OUTPUT = "inventory"
"""The stack output that holds it."""


class Stack(typing.NamedTuple):
    """One stack of one project on one backend."""

    root: pathlib.Path
    project: str
    name: str
    backend_id: str

    @property
    def cache(self) -> pathlib.Path:
        """Where its inventory is cached."""
        return places.inventory_cache(self.backend_id, self.project, self.name)


class Found(typing.NamedTuple):
    """An inventory, and whether it came from the cache (and may thus be older than the stack)."""

    stack: Stack
    inventory: Inventory
    cached: bool


def stack_named(name: str = "", *, start: pathlib.Path | None = None) -> Stack:
    """Return the stack called `name`, or the selected one; raise GaxxError when none is."""
    root = backend.project_root(start)
    chosen = name or backend.selected_stack(root)
    if not chosen:
        message = "no stack selected"
        raise GaxxError(message, hint="name one with --stack S, or `pulumi stack select S`")
    url = backend.current_backend_url(root)
    if not url:
        message = "no Pulumi backend chosen"
        raise GaxxError(message, hint='run `eval "$(gaxx env)"`, or `pulumi login`')
    return Stack(root, backend.project_name(root), chosen.rsplit("/", 1)[-1], backend.backend_id(url, root))


def find(stack: Stack) -> Found:
    """Return the stack's inventory, from the cache where there is one that knows us.

    Raise InventoryError when the stack is not up, Refused when others can read the cache.
    """
    try:
        text = private.read(stack.cache)
    except FileNotFoundError:
        return fetch(stack)
    found = Found(stack, _checked(Inventory.from_json(text), stack), cached=True)
    if not _knows_us(found.inventory):
        # Whoever became an operator since then must not be sent away by an old copy.
        with contextlib.suppress(GaxxError):
            return fetch(stack)
    return found


def fetch(stack: Stack) -> Found:
    """Ask Pulumi for the stack output and write the cache; raise InventoryError when there is none."""
    try:
        said = pulumi(["stack", "output", "--json", "--show-secrets", "--stack", stack.name], stack.root)
        outputs = json.loads(said)
    except PulumiError as error:
        message = f"stack {stack.name}: {error.message}"
        hint = "`gaxx doctor` looks at backend and passphrase"
        if NO_SUCH_STACK in error.message:
            hint = f"`pulumi stack ls` names the stacks; `gaxx init --stack {stack.name}` makes one"
        raise InventoryError(message, hint=hint) from error
    except ValueError as error:
        message = f"stack {stack.name}: `pulumi stack output --json` printed no JSON: {error}"
        raise InventoryError(message) from error
    value = outputs.get(OUTPUT) if isinstance(outputs, dict) else None
    if value is None:
        message = f"stack {stack.name} has no inventory: it is not up"
        raise InventoryError(message, hint=f"run `pulumi up --stack {stack.name}`")
    inventory = Inventory.from_json(value) if isinstance(value, str) else Inventory.from_dict(value)
    private.replace(stack.cache, inventory.to_json())
    return Found(stack, _checked(inventory, stack), cached=False)


def _knows_us(inventory: Inventory) -> bool:
    try:
        identity.principal(inventory, identity.load())
    except Refused:
        return False
    except GaxxError:
        return True  # this user has no keys at all: whoever needs them says so
    return True


def _checked(inventory: Inventory, stack: Stack) -> Inventory:
    if inventory.stack != stack.name:
        message = f"the inventory is that of stack {inventory.stack}, not of {stack.name}"
        raise InventoryError(message, hint=f"remove {stack.cache}")
    return inventory
