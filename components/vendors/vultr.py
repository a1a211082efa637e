"""Vultr's API, version 2."""

import math
import typing
from collections.abc import Iterator, Mapping

from components.vendors.api import GONE, Api, Credentials, Prices, VendorError
from components.vendors.found import Found, Kind, utc, words

_PAGE = 500
_PATHS: Mapping[Kind, tuple[str, str, str]] = {
    "machine": ("instances", "instances", "instance"),
    "firewall": ("firewalls", "firewall_groups", "firewall_group"),
    "network": ("vpcs", "vpcs", "vpc"),
    "key": ("ssh-keys", "ssh_keys", "ssh_key"),
}
"""Kind to path, key of its list, key of one."""
_RIGHTS = ("subscriptions", "provisioning", "firewall")
"""What the plugin and we ask for, as Vultr calls it in an account's `acls`."""
_HOURS = 672
"""Of a month that Vultr bills at most; only where it tells no price an hour."""


class VultrApi(Api):
    """API version 2."""

    name = "vultr"

    def machines(self, label: str = "") -> list[Found]:
        """All instances, or those with this label."""
        return self.all("machine", {"label": label} if label else {})

    def exists(self, machine_id: str) -> bool:
        """Ask for it by its id."""
        return self.found(f"instances/{machine_id}")

    def again(self, found: Found) -> Found | None:
        """Ask for it by its id."""
        path, _, key = _PATHS[found.kind]
        answer = self.get(f"{path}/{found.id}")
        return _found(found.kind, answer[key]) if answer is not None else None

    def rules(self, group: str) -> list[str]:
        """Numbers of a firewall group's rules; none of a group that is gone."""
        try:
            return [str(entry["id"]) for entry in self._pages(f"firewalls/{group}/rules", "firewall_rules", {})]
        except VendorError as error:
            if error.status != GONE:
                raise
            return []

    def delete_rule(self, group: str, number: str) -> None:
        """Delete a rule."""
        self.remove(f"firewalls/{group}/rules/{number}")

    def delete(self, found: Found) -> None:
        """Delete it."""
        self.remove(f"{_PATHS[found.kind][0]}/{found.id}")

    def credentials(self) -> Credentials:
        """An API key may what its user may."""
        account = self.ask_once("account")[0].get("account") or {}
        rights = tuple(sorted(account.get("acls") or ()))
        lacking = tuple(right for right in _RIGHTS if right not in rights) if rights else ()
        return Credentials(str(account.get("name", "")), rights, lacking)

    def prices(self) -> Prices:
        """Plans and their prices; all regions cost the same."""
        types: dict[str, float] = {}
        for entry in self._pages("plans", "plans", {}):
            hourly = float(entry.get("hourly_cost") or (entry.get("monthly_cost") or 0) / _HOURS)
            if hourly:
                # Upwards: a budget that is kept by the table is kept by the bill.
                types[entry["id"]] = math.ceil(round(hourly * 10_000, 3)) / 10_000
        return Prices(f"{self._client.base_url}plans", types, {})

    def all(self, kind: Kind, more: Mapping[str, str] | None = None) -> list[Found]:
        """All things of a kind; tags of firewalls and networks stand in the description, of keys in comment or name."""
        path, key, _ = _PATHS[kind]
        return [_found(kind, entry) for entry in self._pages(path, key, more or {})]

    def _pages(self, path: str, key: str, more: Mapping[str, str]) -> Iterator[dict[str, typing.Any]]:
        cursor = ""
        while True:
            answer = self.call("GET", path, params={"per_page": _PAGE, "cursor": cursor, **more})
            yield from answer[key]
            cursor = answer["meta"]["links"]["next"]
            if not cursor:
                return


def _found(kind: Kind, entry: Mapping[str, typing.Any]) -> Found:
    label = entry["label"] if kind == "machine" else entry["name"] if kind == "key" else entry["description"]
    made = kind != "machine" or (entry["status"] == "active" and entry["power_status"] == "running")
    return Found(
        kind,
        entry["id"],
        label,
        # A key's comment says more than its name has room for.
        tuple(entry["tags"] or ()) if kind == "machine" else words(label, entry.get("ssh_key")),
        utc(entry.get("date_created")),
        running=made,
        type=str(entry.get("plan") or "") if kind == "machine" else "",
        region=str(entry.get("region") or ""),
        firewall=str(entry.get("firewall_group_id") or "") if kind == "machine" else "",
    )
