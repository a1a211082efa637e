"""Linode's API, version 4."""

import typing
from collections.abc import Iterator, Mapping

from components.vendors.api import Api, Credentials, Prices, VendorError
from components.vendors.found import Found, Kind, utc, words

_PAGE = 500
_FOLDERS: Mapping[Kind, str] = {
    "machine": "linode/instances",
    "firewall": "networking/firewalls",
    "network": "vpcs",
    "key": "profile/sshkeys",
}
_SCOPES = ("linodes:read_write", "firewall:read_write", "vpc:read_write", "events:read_only")
"""What the plugin and we ask for; deleting a machine is followed by its events."""
_REFUSED = (401, 403)


class LinodeApi(Api):
    """API version 4."""

    name = "linode"

    def machines(self, label: str = "") -> list[Found]:
        """All instances, or those whose label begins with `label`."""
        where = {"label": {"+contains": label}} if label else None
        found = [_found("machine", entry) for entry in self._pages(_FOLDERS["machine"], where)]
        return [one for one in found if one.label.startswith(label)]

    def exists(self, machine_id: str) -> bool:
        """Ask for it by its id."""
        return self.found(f"{_FOLDERS['machine']}/{machine_id}")

    def again(self, found: Found) -> Found | None:
        """Ask for it by its id."""
        entry = self.get(f"{_FOLDERS[found.kind]}/{found.id}")
        return _found(found.kind, entry) if entry is not None else None

    def delete(self, found: Found) -> None:
        """Delete it; a network with its subnets."""
        self.remove(f"{_FOLDERS[found.kind]}/{found.id}")

    def subnets(self, network: str) -> list[str]:
        """Ids of a network's subnets; none of a network that is gone."""
        entry = self.get(f"{_FOLDERS['network']}/{network}") or {}
        return [str(subnet["id"]) for subnet in entry.get("subnets") or ()]

    def delete_subnet(self, network: str, subnet: str) -> None:
        """Delete a subnet."""
        self.remove(f"{_FOLDERS['network']}/{network}/subnets/{subnet}")

    def credentials(self) -> Credentials:
        """The scopes stand in a header of every answer."""
        account = ""
        try:
            body, headers = self.ask_once("profile")
            account = str(body.get("username", ""))
        except VendorError as error:
            if error.status not in _REFUSED or "Invalid Token" in error.message:
                raise
            # A token without the scope `account` may still make machines.
            _, headers = self.ask_once(f"{_FOLDERS['machine']}?page_size=25")
        scopes = tuple(sorted(headers.get("X-OAuth-Scopes", "").split()))
        return Credentials(account, scopes, _lacking(scopes))

    def prices(self) -> Prices:
        """Types and their prices; a region counts with the largest factor that any type has there."""
        types: dict[str, float] = {}
        regions: dict[str, float] = {}
        for entry in self._pages("linode/types"):
            hourly = (entry.get("price") or {}).get("hourly")
            if not hourly:
                continue
            types[entry["id"]] = float(hourly)
            for dearer in entry.get("region_prices") or ():
                if dearer.get("hourly"):
                    factor = round(float(dearer["hourly"]) / float(hourly), 4)
                    regions[dearer["id"]] = max(regions.get(dearer["id"], 1.0), factor)
        return Prices(f"{self._client.base_url}linode/types", types, regions)

    def all(self, kind: Kind) -> list[Found]:
        """All things of a kind; tags of networks stand in the description, of keys in the comment or the label."""
        return [_found(kind, entry) for entry in self._pages(_FOLDERS[kind])]

    def _pages(self, path: str, where: object = None) -> Iterator[dict[str, typing.Any]]:
        page, pages = 1, 1
        while page <= pages:
            answer = self.call("GET", path, params={"page": page, "page_size": _PAGE}, where=where)
            yield from answer["data"]
            page, pages = page + 1, int(answer["pages"])


def _found(kind: Kind, entry: Mapping[str, typing.Any]) -> Found:
    tags = tuple(entry.get("tags") or ()) if kind in ("machine", "firewall") else ()
    return Found(
        kind,
        str(entry["id"]),
        entry["label"],
        tags or words(entry.get("description"), entry["label"], entry.get("ssh_key")),
        utc(entry.get("created")),
        running=kind != "machine" or entry["status"] == "running",
        type=str(entry.get("type") or "") if kind == "machine" else "",
        region=str(entry.get("region") or ""),
    )


def _lacking(scopes: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in scopes or not scopes:
        # A vendor that says nothing of scopes has refused nothing either.
        return ()
    more = {f"{scope.split(':')[0]}:read_only" for scope in scopes if scope.endswith(":read_write")}
    return tuple(scope for scope in _SCOPES if scope not in {*scopes, *more})
