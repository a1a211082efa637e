"""What stands at the rehearsed vendors, asked as any client would ask."""

import dataclasses
import typing

import httpx

_PATIENCE = 30
_LISTS = {
    "instances": ("/v4/linode/instances", "data", "/v2/instances", "instances"),
    "firewalls": ("/v4/networking/firewalls", "data", "/v2/firewalls", "firewall_groups"),
    "networks": ("/v4/vpcs", "data", "/v2/vpcs", "vpcs"),
    "keys": ("/v4/profile/sshkeys", "data", "/v2/ssh-keys", "ssh_keys"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Accounts:
    """One account at each vendor."""

    variables: dict[str, str]
    """What leads a process to the rehearsal."""

    def linode(self, method: str, path: str, body: object = None) -> typing.Any:
        """A call of API v4, as `linode/instances`."""
        return self._call(method, f"{self.variables['LINODE_URL']}/v4/{path}", self.variables["LINODE_TOKEN"], body)

    def vultr(self, method: str, path: str, body: object = None) -> typing.Any:
        """A call of API v2, as `instances`."""
        return self._call(
            method, f"{self.variables['GAXX_VULTR_URL']}/v2/{path}", self.variables["VULTR_API_KEY"], body
        )

    def linodes(self) -> list[dict[str, typing.Any]]:
        """Linode's instances."""
        return list(self.linode("GET", "linode/instances?page_size=500")["data"])

    def vultrs(self) -> list[dict[str, typing.Any]]:
        """Vultr's instances."""
        return list(self.vultr("GET", "instances?per_page=500")["instances"])

    def ids(self) -> set[str]:
        """Ids of all instances."""
        return {str(one["id"]) for one in (*self.linodes(), *self.vultrs())}

    def left(self) -> dict[str, int]:
        """How many of each kind there are at both vendors."""
        counts = {}
        for kind, (linode_path, linode_key, vultr_path, vultr_key) in _LISTS.items():
            ours = self.linode("GET", linode_path.removeprefix("/v4/"))[linode_key]
            theirs = self.vultr("GET", vultr_path.removeprefix("/v2/"))[vultr_key]
            counts[kind] = len(ours) + len(theirs)
        return counts

    def _call(self, method: str, url: str, token: str, body: object) -> typing.Any:
        for _ in range(_PATIENCE):
            response = httpx.request(method, url, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=30)
            if response.status_code != 429 and not response.is_server_error:  # what a rehearsal was asked to do
                return response.raise_for_status().json() if response.content else {}
        message = f"{method} {url} was refused {_PATIENCE} times"
        raise AssertionError(message)
