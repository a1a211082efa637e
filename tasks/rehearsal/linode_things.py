"""Linode's networks and keys: what has an owner and a label, and no life of its own."""

import ipaddress
import typing

from starlette.requests import Request
from starlette.responses import Response

from tasks.rehearsal import catalogue, linode_shapes
from tasks.rehearsal.edge import Edge, Handler, body
from tasks.rehearsal.store import ApiError, Attributes, Store


class Face(typing.Protocol):
    """What the calls here need of Linode's face."""

    store: Store
    edge: Edge

    def shown(self, shape: typing.Any) -> Response:
        """An answer."""
        ...

    def page_of(self, request: Request, entries: typing.Iterable[typing.Mapping[str, typing.Any]]) -> Response:
        """One page of a list."""
        ...


def calls(face: Face) -> list[tuple[str, str, Handler]]:
    """VPCs, their subnets, SSH keys."""
    things = _Things(face)
    guard = face.edge.guard
    return [
        ("GET", "vpcs", guard(things.list_of("vpcs"))),
        ("POST", "vpcs", guard(things.make_vpc)),
        ("GET", "vpcs/{id}", guard(things.show("vpcs"))),
        ("PUT", "vpcs/{id}", guard(things.change("vpcs", ("label", "description")))),
        ("DELETE", "vpcs/{id}", guard(things.delete_vpc)),
        ("GET", "vpcs/{vpc}/subnets", guard(things.list_of("subnets"))),
        ("POST", "vpcs/{vpc}/subnets", guard(things.make_subnet)),
        ("GET", "vpcs/{vpc}/subnets/{id}", guard(things.show("subnets"))),
        ("PUT", "vpcs/{vpc}/subnets/{id}", guard(things.change("subnets", ("label",)))),
        ("DELETE", "vpcs/{vpc}/subnets/{id}", guard(things.delete_subnet)),
        ("GET", "profile/sshkeys", guard(things.list_of("sshkeys"))),
        ("POST", "profile/sshkeys", guard(things.make_key)),
        ("GET", "profile/sshkeys/{id}", guard(things.show("sshkeys"))),
        ("PUT", "profile/sshkeys/{id}", guard(things.change("sshkeys", ("label",)))),
        ("DELETE", "profile/sshkeys/{id}", guard(things.delete("sshkeys"))),
    ]


class _Things:
    def __init__(self, face: Face) -> None:
        self._face = face

    async def make_vpc(self, request: Request) -> Response:
        wanted = await body(request)
        if wanted.get("region") not in catalogue.LINODE_REGIONS:
            raise ApiError(400, "region is not valid", field="region")
        if wanted["region"] in catalogue.LINODE_WITHOUT["VPCs"]:
            raise ApiError(400, "VPCs are not available in this region", field="region")
        if any(other["label"] == wanted.get("label") for other in self._all("vpcs").values()):
            raise ApiError(400, "Label must be unique among your VPCs", field="label")
        kept = {"label": _label(wanted), "description": wanted.get("description", ""), "region": wanted["region"]}
        return self._made("vpcs", kept)

    async def delete_vpc(self, request: Request) -> Response:
        """With all of its subnets, or none of them (https://techdocs.akamai.com/linode-api/reference/delete-vpc)."""
        vpc = self._one("vpcs", request)
        subnets = [one for one in self._all("subnets").values() if one["vpc"] == vpc["id"]]
        if any(self._connected(subnet) for subnet in subnets):
            raise ApiError(409, "Subnet has Linodes")
        for subnet in subnets:
            self._gone("subnets", subnet)
        return self._gone("vpcs", vpc)

    async def make_subnet(self, request: Request) -> Response:
        wanted = await body(request)
        vpc = request.path_params["vpc"]
        if vpc not in self._all("vpcs"):
            raise ApiError(404, "Not found")
        try:
            addresses = ipaddress.IPv4Network(wanted.get("ipv4", ""))
        except ValueError:
            raise ApiError(400, "Must be an IPv4 network", field="ipv4") from None
        others = [one for one in self._all("subnets").values() if one["vpc"] == int(vpc)]
        if any(one["label"] == wanted.get("label") for one in others):
            raise ApiError(400, "Label must be unique among the VPC's subnets", field="label")
        if any(addresses.overlaps(ipaddress.IPv4Network(one["ipv4"])) for one in others):
            raise ApiError(400, "Overlaps with another subnet of the VPC", field="ipv4")
        return self._made("subnets", {"label": _label(wanted), "ipv4": wanted["ipv4"], "vpc": int(vpc)})

    async def delete_subnet(self, request: Request) -> Response:
        subnet = self._one("subnets", request)
        if self._connected(subnet):
            raise ApiError(409, "Subnet has Linodes")
        return self._gone("subnets", subnet)

    async def make_key(self, request: Request) -> Response:
        wanted = await body(request)
        if not str(wanted.get("ssh_key", "")).startswith("ssh-"):
            raise ApiError(400, "SSH Key must be a valid public key", field="ssh_key")
        return self._made("sshkeys", {"label": _label(wanted), "ssh_key": wanted["ssh_key"]})

    def list_of(self, kind: str) -> Handler:
        async def answer(request: Request) -> Response:
            vpc = request.path_params.get("vpc")
            found = [one for one in self._all(kind).values() if vpc is None or str(one["vpc"]) == vpc]
            return self._face.page_of(request, [self._shape(kind, one) for one in found])

        return answer

    def show(self, kind: str) -> Handler:
        async def answer(request: Request) -> Response:
            return self._face.shown(self._shape(kind, self._one(kind, request)))

        return answer

    def change(self, kind: str, keys: tuple[str, ...]) -> Handler:
        async def answer(request: Request) -> Response:
            one, wanted = self._one(kind, request), await body(request)
            one.update({key: wanted[key] for key in keys if key in wanted})
            return self._face.shown(self._shape(kind, one))

        return answer

    def delete(self, kind: str) -> Handler:
        async def answer(request: Request) -> Response:
            return self._gone(kind, self._one(kind, request))

        return answer

    def _connected(self, subnet: Attributes) -> list[Attributes]:
        return [
            {"id": int(one.id), "interfaces": [{"id": each["id"], "active": True, "config_id": None}]}
            for one in self._face.store.instances("linode")
            for each in one.attributes["interfaces"]
            if each["subnet_id"] == subnet["id"] and one.gone_at is None
        ]

    def _all(self, kind: str) -> dict[str, Attributes]:
        return self._face.store.kind("linode", kind)

    def _one(self, kind: str, request: Request) -> Attributes:
        found = self._all(kind).get(request.path_params["id"])
        vpc = request.path_params.get("vpc")
        if found is None or (vpc is not None and str(found["vpc"]) != vpc):
            raise ApiError(404, "Not found")
        return found

    def _made(self, kind: str, kept: Attributes) -> Response:
        now = linode_shapes.stamp(self._face.store.clock())
        made = {"id": self._face.store.number(), **kept, "created": now, "updated": now}
        self._all(kind)[str(made["id"])] = made
        return self._face.shown(self._shape(kind, made))

    def _gone(self, kind: str, one: Attributes) -> Response:
        del self._all(kind)[str(one["id"])]
        return self._face.shown({})

    def _shape(self, kind: str, one: Attributes) -> Attributes:
        if kind == "vpcs":
            subnets = [each for each in self._all("subnets").values() if each["vpc"] == one["id"]]
            return {**one, "subnets": [self._shape("subnets", each) for each in subnets], "ipv6": []}
        if kind == "subnets":
            shown = {key: value for key, value in one.items() if key != "vpc"}
            return {**shown, "linodes": self._connected(one), "nodebalancers": [], "databases": [], "ipv6": []}
        return one


def _label(wanted: typing.Mapping[str, typing.Any]) -> str:
    label = wanted.get("label")
    if not isinstance(label, str) or not label:
        raise ApiError(400, "label is required", field="label")
    return label
