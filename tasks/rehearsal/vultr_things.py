"""Vultr's networks and keys."""

import ipaddress
import typing
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tasks.rehearsal import catalogue, vultr_shapes
from tasks.rehearsal.edge import Edge, Handler, body
from tasks.rehearsal.store import ApiError, Attributes, Store


class Face(typing.Protocol):
    """What the calls here need of Vultr's face."""

    store: Store
    edge: Edge

    def listing(self, key: str, entries: typing.Callable[[], Sequence[Attributes]]) -> Handler:
        """A call that answers with a page of a list."""
        ...


def calls(face: Face) -> list[tuple[str, str, Handler]]:
    """VPCs and SSH keys."""
    things = _Things(face.store)
    guard = face.edge.guard
    vpcs, keys = face.store.kind("vultr", "vpcs"), face.store.kind("vultr", "sshkeys")
    return [
        ("GET", "vpcs", guard(face.listing("vpcs", lambda: list(vpcs.values())))),
        ("POST", "vpcs", guard(things.make_vpc)),
        ("GET", "vpcs/{id}", guard(things.show_vpc)),
        ("PUT", "vpcs/{id}", guard(things.change_vpc)),
        ("DELETE", "vpcs/{id}", guard(things.delete_vpc)),
        ("GET", "ssh-keys", guard(face.listing("ssh_keys", lambda: list(keys.values())))),
        ("POST", "ssh-keys", guard(things.make_key)),
        ("GET", "ssh-keys/{id}", guard(things.show_key)),
        ("PATCH", "ssh-keys/{id}", guard(things.change_key)),
        ("DELETE", "ssh-keys/{id}", guard(things.delete_key)),
    ]


class _Things:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._vpcs = store.kind("vultr", "vpcs")
        self._keys = store.kind("vultr", "sshkeys")

    async def make_vpc(self, request: Request) -> Response:
        wanted = await body(request)
        if wanted.get("region") not in catalogue.VULTR_REGIONS:
            raise ApiError(400, "Invalid region.")
        subnet = wanted.get("v4_subnet") or "10.1.96.0"
        size = wanted.get("v4_subnet_mask") or 20
        try:
            ipaddress.IPv4Network(f"{subnet}/{size}")
        except ValueError:
            raise ApiError(400, "Invalid v4_subnet.") from None
        made = {
            "id": self._store.new_id("vultr"),
            "region": wanted["region"],
            "description": wanted.get("description", ""),
            "v4_subnet": subnet,
            "v4_subnet_mask": size,
            "date_created": vultr_shapes.stamp(self._store.clock()),
        }
        self._vpcs[made["id"]] = made
        return JSONResponse({"vpc": made}, 201)

    async def show_vpc(self, request: Request) -> Response:
        return JSONResponse({"vpc": self._vpc(request)})

    async def change_vpc(self, request: Request) -> Response:
        vpc, wanted = self._vpc(request), await body(request)
        vpc["description"] = wanted.get("description", "")
        return Response(status_code=204)

    async def delete_vpc(self, request: Request) -> Response:
        vpc = self._vpc(request)
        if any(vpc["id"] in one.attributes["vpcs"] for one in self._store.instances("vultr")):
            raise ApiError(409, "There are servers attached to this VPC network")
        del self._vpcs[vpc["id"]]
        return Response(status_code=204)

    async def make_key(self, request: Request) -> Response:
        wanted = await body(request)
        if not wanted.get("name") or not str(wanted.get("ssh_key", "")).startswith("ssh-"):
            raise ApiError(400, "Invalid ssh key")
        made = {
            "id": self._store.new_id("vultr"),
            "name": wanted["name"],
            "ssh_key": wanted["ssh_key"],
            "date_created": vultr_shapes.stamp(self._store.clock()),
        }
        self._keys[made["id"]] = made
        return JSONResponse({"ssh_key": made}, 201)

    async def show_key(self, request: Request) -> Response:
        return JSONResponse({"ssh_key": self._key(request)})

    async def change_key(self, request: Request) -> Response:
        key, wanted = self._key(request), await body(request)
        key.update({name: wanted[name] for name in ("name", "ssh_key") if name in wanted})
        return Response(status_code=204)

    async def delete_key(self, request: Request) -> Response:
        del self._keys[self._key(request)["id"]]
        return Response(status_code=204)

    def _vpc(self, request: Request) -> Attributes:
        return _found(self._vpcs, request, "Invalid VPC ID")

    def _key(self, request: Request) -> Attributes:
        return _found(self._keys, request, "Invalid ssh key")


def _found(entries: dict[str, Attributes], request: Request, reason: str) -> Attributes:
    found = entries.get(request.path_params["id"])
    if found is None:
        raise ApiError(404, reason)
    return found
