"""A vendor's thing and its parts: which of them are the state's, and which nobody's.

A part that was made while the engine was killed, or whose answer was lost, is in no state, and the vendor makes none
like it again: no later update could. So whenever there are parts that were not seen before, the state is asked whether
it knows them, and those that it does not know are removed before others are made.
"""

import abc
import asyncio
import json
import typing

from components.engine_program import program
from components.errors import GaxxError
from components.provider import standing
from components.provider.context import Context
from components.provider.resource import Created, Difference, Property, Resource
from components.provider.wire import Properties
from components.vendors import Kind

_EXPORT_LIMIT_S = 60
_PART = Property("string", "the vendor's id of a part")


class CloudParts(Resource):
    """The record of a thing of a vendor; its parts come after it. Its id is the thing's."""

    outputs: typing.ClassVar[typing.Mapping[str, Property]] = {
        "known": Property("array", "parts that the state was seen to know", items=_PART),
        "strays": Property("array", "parts that no state knows", items=_PART),
    }
    volatile = frozenset({"known", "strays"})

    kind: typing.ClassVar[Kind]
    """Of the thing."""
    id_input: typing.ClassVar[str]
    part: typing.ClassVar[str]
    """What one is called."""
    part_type: typing.ClassVar[str]
    """The vendor's plugin's resource."""
    part_owner: typing.ClassVar[str]
    """Its property that names the thing."""

    @abc.abstractmethod
    def parts(self, cloud: str, thing: str) -> set[str] | None:
        """The ids of all parts that are there; None where nobody can look. Raise VendorError."""

    @abc.abstractmethod
    def remove(self, cloud: str, thing: str, part: str) -> None:
        """Remove a part; raise VendorError."""

    def drift(self, context: Context, state: Properties) -> Difference:
        """Strays are removed before parts are made."""
        del context
        return Difference(updates=("strays",) if state.get("strays") else ())

    async def create(self, context: Context, inputs: Properties) -> Created:
        """The thing is new, and has no parts."""
        del context
        return Created(inputs[self.id_input], {"known": [], "strays": []})

    async def read(self, context: Context, resource_id: str, state: Properties) -> Properties | None:
        """Look for parts that were not seen before, and ask the state about those."""
        standing.known(context, self.kind, resource_id)
        try:
            found = await context.blocking(self.parts, state["cloud"], resource_id)
            if found is None:
                return state
            known = found & set(state.get("known") or ())
            unseen = found - known
            if unseen:
                known |= unseen & await self._in_state(context, resource_id)
        except GaxxError as error:
            # Nothing is removed unless the state has said that it is not its own.
            await context.warn(f"{self.part}s that no state knows could not be looked for: {error.message}")
            return state
        return {**state, "known": sorted(known), "strays": sorted(found - known)}

    async def update(self, context: Context, resource_id: str, state: Properties, news: Properties) -> Properties:
        """Remove the strays."""
        del news
        for part in state.get("strays") or ():
            await context.warn(f"removing {self.part} {part}, which an interrupted update left")
            await context.blocking(self.remove, state["cloud"], resource_id, part)
        return {"known": state.get("known") or [], "strays": []}

    async def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        """The parts are the vendor's plugin's to delete."""

    async def _in_state(self, context: Context, thing: str) -> set[str]:
        """Ids of the thing's parts that the stack's state knows; raise GaxxError when it cannot be read."""
        return {
            resource["id"]
            for resource in await _resources(context)
            if resource["type"] == self.part_type and str(resource.get("outputs", {}).get(self.part_owner)) == thing
        }


def _unread(reason: str) -> GaxxError:
    message = f"the state could not be read: {reason}"
    return GaxxError(message)


async def _resources(context: Context) -> list[dict[str, typing.Any]]:
    """What the stack's state knows; raise GaxxError when it cannot be read."""
    # Reading needs no lock: an update that is being made, this one, does not stand in the way.
    words = ("stack", "export", "--stack", context.stack, "--non-interactive")
    try:
        async with asyncio.timeout(_EXPORT_LIMIT_S):
            process = await asyncio.create_subprocess_exec(
                program(),
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            output, errors = await process.communicate()
        if process.returncode != 0:
            raise _unread(errors.decode(errors="replace").strip())
        return list(json.loads(output)["deployment"].get("resources") or [])
    except (OSError, TimeoutError, ValueError, KeyError) as error:
        raise _unread(str(error) or type(error).__name__) from error
