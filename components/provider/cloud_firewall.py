"""gaxx:index:CloudFirewall: a vendor's firewall, whose rules are those that the state knows.

Vultr refuses a rule that is there already: one that no state knows would stop every later update.
"""

import asyncio
import contextlib
import typing
from collections.abc import Mapping

from components.provider.cloud_parts import CloudParts
from components.provider.context import Context
from components.provider.resource import Property
from components.provider.wire import Properties
from components.vendors import Found, Kind, VendorError, VultrApi, vendor

_GONE_LIMIT_S = 120
_GONE_PAUSE_S = 1


class CloudFirewall(CloudParts):
    """The record of a firewall group; its rules come after it."""

    pulumi_type = "gaxx:index:CloudFirewall"
    description = "A vendor's firewall group: no rule is in it that an interrupted update made and no state knows."
    inputs: typing.ClassVar[Mapping[str, Property]] = {
        "cloud": Property("string", "linode or vultr", replaces=True),
        "firewallId": Property("string", "the vendor's id of the group", replaces=True),
    }
    kind: typing.ClassVar[Kind] = "firewall"
    id_input = "firewallId"
    part = "rule"
    part_type = "vultr:index/firewallRule:FirewallRule"
    part_owner = "firewallGroupId"

    def parts(self, cloud: str, thing: str) -> set[str] | None:
        """Numbers of rules; Linode's firewall has all of them in itself."""
        api = vendor(cloud)
        return set(api.rules(thing)) if isinstance(api, VultrApi) else None

    def remove(self, cloud: str, thing: str, part: str) -> None:
        """Delete a rule."""
        api = vendor(cloud)
        if isinstance(api, VultrApi):
            api.delete_rule(thing, part)

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
