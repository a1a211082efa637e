"""gaxx:index:Inventory: the stack's inventory as one document, and its cached copy on this controller."""

import os
import pathlib
import tempfile
import typing
from collections.abc import Mapping

from components.inventory import INVENTORY_VERSION, Inventory
from components.places import inventory_cache, known_hosts
from components.provider.context import Context
from components.provider.resource import Created, Difference, Property, Resource
from components.provider.wire import Properties


class InventoryDocument(Resource):
    """Composes the inventory and writes the cache; the cache is never compared, since it can be made again."""

    pulumi_type = "gaxx:index:Inventory"
    description = "The stack's inventory: nodes, principals and the authority's certificate, as one document."
    inputs: typing.ClassVar[Mapping[str, Property]] = {
        "backendId": Property("string", "id of the Pulumi backend"),
        "nodes": Property("array", "the enrolled nodes", items=Property("object", "a node")),
        "principals": Property(
            "array", "operators and observers with their tokens", secret=True, items=Property("object", "a principal")
        ),
        "missing": Property("array", "declared nodes that are not enrolled", items=Property("string", "a name")),
    }
    outputs: typing.ClassVar[Mapping[str, Property]] = {
        "document": Property("object", "the inventory", secret=True),
        "authorityFingerprint": Property("string", "whose nodes these are; while one takes over, both"),
    }
    volatile = frozenset({"document"})

    def drift(self, context: Context, state: Properties) -> Difference:
        """A changed authority changes the document."""
        same = state["authorityFingerprint"] == _fingerprint(context)
        return Difference(updates=() if same else ("authorityFingerprint",))

    async def create(self, context: Context, inputs: Properties) -> Created:
        """Compose and cache."""
        return Created("inventory", await self._compose(context, inputs))

    async def update(self, context: Context, resource_id: str, state: Properties, news: Properties) -> Properties:
        """Compose and cache again."""
        del resource_id, state
        return await self._compose(context, news)

    async def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        """Remove the cached copy."""
        del resource_id
        path = inventory_cache(state["backendId"], context.project, context.stack)
        await context.blocking(remove, path)

    async def _compose(self, context: Context, inputs: Properties) -> Properties:
        document = {
            "version": INVENTORY_VERSION,
            "project": context.project,
            "stack": context.stack,
            "backend_id": inputs["backendId"],
            "authority_certificate": context.trusted_pem,
            "nodes": inputs.get("nodes", []),
            "principals": inputs.get("principals", []),
            "missing": inputs.get("missing", []),
        }
        # Reading it back proves that what is exported is what the tasks can read.
        inventory = Inventory.from_dict(document)
        path = inventory_cache(inputs["backendId"], context.project, context.stack)
        await context.blocking(_write, path, inventory.to_json())
        return {"document": document, "authorityFingerprint": _fingerprint(context)}


def _fingerprint(context: Context) -> str:
    return ",".join(context.trusted_fingerprints)


def _write(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # made 0600
    temporary = pathlib.Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove(path: pathlib.Path) -> None:
    """Remove a cached inventory and what was derived from it; none there is fine."""
    path.unlink(missing_ok=True)
    known_hosts(path).unlink(missing_ok=True)
    # What somebody who was killed while writing has left.
    for temporary in path.parent.glob(f".{path.stem}.*"):
        temporary.unlink(missing_ok=True)
