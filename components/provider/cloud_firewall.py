"""gaxx:index:CloudFirewall: which rules of a Vultr firewall group are the state's, and which nobody's.

Vultr refuses a rule that is there already. One that was made while the engine was killed, or whose answer was lost,
is in no state: the next update could never make it. So whenever there are rules that were not seen before, the
state is asked whether it knows them.
"""

import asyncio
import contextlib
import json
import pathlib
import shutil
import sys
import typing
from collections.abc import Mapping

from components.errors import GaxxError
from components.provider import standing
from components.provider.context import Context
from components.provider.resource import Created, Difference, Property, Resource
from components.provider.wire import Properties
from components.vendors import Found, VendorError, VultrApi, vendor

_RULE = "vultr:index/firewallRule:FirewallRule"
_EXPORT_LIMIT_S = 60
_GONE_LIMIT_S = 120
_GONE_PAUSE_S = 1
_NUMBER = Property("string", "number of a rule")


class CloudFirewall(Resource):
    """The record of a firewall group; its rules come after it."""

    pulumi_type = "gaxx:index:CloudFirewall"
    description = "A vendor's firewall group: no rule is in it that an interrupted update made and no state knows."
    inputs: typing.ClassVar[Mapping[str, Property]] = {
        "cloud": Property("string", "linode or vultr", replaces=True),
        "firewallId": Property("string", "the vendor's id of the group", replaces=True),
    }
    outputs: typing.ClassVar[Mapping[str, Property]] = {
        "known": Property("array", "rules that the state was seen to know", items=_NUMBER),
        "strays": Property("array", "rules that no state knows", items=_NUMBER),
    }
    volatile = frozenset({"known", "strays"})

    def drift(self, context: Context, state: Properties) -> Difference:
        """Strays are removed before rules are made."""
        del context
        return Difference(updates=("strays",) if state.get("strays") else ())

    async def create(self, context: Context, inputs: Properties) -> Created:
        """The group is new, and empty."""
        del context
        return Created(inputs["firewallId"], {"known": [], "strays": []})

    async def read(self, context: Context, resource_id: str, state: Properties) -> Properties | None:
        """Look for rules that were not seen before, and ask the state about those."""
        standing.known(context, "firewall", resource_id)
        api = vendor(state["cloud"])
        if not isinstance(api, VultrApi):
            return state
        try:
            found = set(await context.blocking(api.rules, resource_id))
            known = found & set(state.get("known") or ())
            unseen = found - known
            if unseen:
                known |= unseen & await _in_state(context, resource_id)
        except GaxxError as error:
            # Nothing is removed unless the state has said that it is not its own.
            await context.warn(f"rules that no state knows could not be looked for: {error.message}")
            return state
        return {**state, "known": sorted(known), "strays": sorted(found - known)}

    async def update(self, context: Context, resource_id: str, state: Properties, news: Properties) -> Properties:
        """Remove the strays."""
        del news
        api = vendor(state["cloud"])
        for number in state.get("strays") or ():
            if not isinstance(api, VultrApi):
                break
            await context.warn(f"removing rule {number}, which an interrupted update left")
            await context.blocking(api.delete_rule, resource_id, number)
        return {"known": state.get("known") or [], "strays": []}

    async def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        """Remove machines that only this group knows of: it goes next, with its rules, and could not while it is used.

        All that the state knows behind it is gone by now: what is left was made by an update that was killed.
        """
        api = vendor(state["cloud"])
        if not isinstance(api, VultrApi):
            return
        try:
            await _remove_lost(context, api, resource_id)
        except VendorError as error:
            await context.warn(f"machines that no state knows could not be looked for: {error.message}")


async def _remove_lost(context: Context, api: VultrApi, group_id: str) -> None:
    group = await context.blocking(api.again, Found("firewall", group_id, "", (), ""))
    if group is None:
        return
    whose = {"project": context.project, "stack": context.stack, "backend_id": group.value("backend")}
    if not group.of(**whose):
        return
    lost = [one for one in await context.blocking(api.machines) if one.firewall == group_id and one.of(**whose)]
    for one in lost:
        await context.warn(f"removing vultr's machine {one.label or one.id}, which no state knew of")
        await context.blocking(api.delete, one)
    # When it takes longer, the group's own deletion says that it is in use.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GONE_LIMIT_S):
            for one in lost:
                while await context.blocking(api.exists, one.id):  # noqa: ASYNC110 - the vendor has no event to wait for
                    await asyncio.sleep(_GONE_PAUSE_S)


def _unread(reason: str) -> GaxxError:
    message = f"the state could not be read: {reason}"
    return GaxxError(message)


async def _in_state(context: Context, group: str) -> set[str]:
    """Numbers of the group's rules that the stack's state knows; raise GaxxError when it cannot be read."""
    beside = pathlib.Path(sys.prefix) / "bin" / "pulumi"
    program = str(beside) if beside.exists() else shutil.which("pulumi") or "pulumi"
    # Reading needs no lock: an update that is being made, this one, does not stand in the way.
    words = ("stack", "export", "--stack", context.stack, "--non-interactive")
    try:
        async with asyncio.timeout(_EXPORT_LIMIT_S):
            process = await asyncio.create_subprocess_exec(
                program,
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            output, errors = await process.communicate()
        if process.returncode != 0:
            raise _unread(errors.decode(errors="replace").strip())
        resources = json.loads(output)["deployment"].get("resources") or []
    except (OSError, TimeoutError, ValueError, KeyError) as error:
        raise _unread(str(error) or type(error).__name__) from error
    return {
        resource["id"]
        for resource in resources
        if resource["type"] == _RULE and resource.get("outputs", {}).get("firewallGroupId") == group
    }
