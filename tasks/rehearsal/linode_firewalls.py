"""Linode's firewalls: their rules, and what is attached to them."""

import hashlib
import json

from starlette.requests import Request
from starlette.responses import Response

from tasks.rehearsal import linode_orders, linode_shapes
from tasks.rehearsal.edge import Handler, body
from tasks.rehearsal.linode_things import Face
from tasks.rehearsal.store import ApiError, Firewall, Instance


def calls(face: Face) -> list[tuple[str, str, Handler]]:
    """Firewalls, their rules, their devices."""
    firewalls = _Firewalls(face)
    guard = face.edge.guard
    wall = "networking/firewalls/{id}"
    return [
        ("GET", "networking/firewalls", guard(firewalls.list_all)),
        ("POST", "networking/firewalls", guard(firewalls.create)),
        ("GET", wall, guard(firewalls.show)),
        ("PUT", wall, guard(firewalls.change)),
        ("DELETE", wall, guard(firewalls.delete)),
        ("GET", f"{wall}/rules", guard(firewalls.rules)),
        ("PUT", f"{wall}/rules", guard(firewalls.change_rules)),
        ("GET", f"{wall}/devices", guard(firewalls.devices)),
        ("POST", f"{wall}/devices", guard(firewalls.attach)),
        ("GET", f"{wall}/devices/{{device}}", guard(firewalls.device)),
        ("DELETE", f"{wall}/devices/{{device}}", guard(firewalls.detach)),
    ]


class _Firewalls:
    def __init__(self, face: Face) -> None:
        self._face = face

    async def create(self, request: Request) -> Response:
        wanted = await body(request)
        self._check_label(wanted)
        devices = [str(number) for number in (wanted.get("devices") or {}).get("linodes") or ()]
        for number in devices:
            self._attachable(number)
        now = self._face.store.clock()
        attributes = {"rules": linode_orders.rules(wanted.get("rules") or {}), "status": "enabled"}
        made = Firewall(
            "linode",
            self._face.store.new_id("linode"),
            wanted["label"],
            linode_orders.tags(wanted),
            now,
            now,
            attributes,
        )
        self._mark_rules(made)
        self._face.store.firewalls[made.id] = made
        for number in devices:
            self._attachable(number).firewall = made.id
        return self._face.shown(linode_shapes.firewall(made, self._face.store))

    async def show(self, request: Request) -> Response:
        return self._face.shown(linode_shapes.firewall(self._firewall(request), self._face.store))

    async def change(self, request: Request) -> Response:
        firewall, wanted = self._firewall(request), await body(request)
        if "label" in wanted and wanted["label"] != firewall.label:
            self._check_label(wanted)
            firewall.label = wanted["label"]
        if "tags" in wanted:
            firewall.tags = linode_orders.tags(wanted)
        if "status" in wanted:
            firewall.attributes["status"] = wanted["status"]
        firewall.updated = self._face.store.clock()
        return self._face.shown(linode_shapes.firewall(firewall, self._face.store))

    async def delete(self, request: Request) -> Response:
        firewall = self._firewall(request)
        for machine in self._face.store.machines_behind(firewall):
            machine.firewall = ""
        del self._face.store.firewalls[firewall.id]
        return self._face.shown({})

    async def rules(self, request: Request) -> Response:
        return self._face.shown(self._firewall(request).attributes["rules"])

    async def change_rules(self, request: Request) -> Response:
        firewall = self._firewall(request)
        firewall.attributes["rules"] = linode_orders.rules(await body(request))
        firewall.updated = self._face.store.clock()
        self._mark_rules(firewall)
        return self._face.shown(firewall.attributes["rules"])

    async def devices(self, request: Request) -> Response:
        return self._face.page_of(request, linode_shapes.devices(self._firewall(request), self._face.store))

    async def attach(self, request: Request) -> Response:
        firewall, wanted = self._firewall(request), await body(request)
        if wanted.get("type") != "linode":
            raise ApiError(400, "type is not valid", field="type")
        machine = self._attachable(str(wanted.get("id")))
        machine.firewall = firewall.id
        return self._face.shown(self._device_of(firewall, str(machine.attributes["device"])))

    async def device(self, request: Request) -> Response:
        return self._face.shown(self._device_of(self._firewall(request), request.path_params["device"]))

    async def detach(self, request: Request) -> Response:
        firewall = self._firewall(request)
        entity = self._device_of(firewall, request.path_params["device"])["entity"]
        machine = self._face.store.instance("linode", str(entity["id"]))
        if machine is not None:
            machine.firewall = ""
        return self._face.shown({})

    async def list_all(self, request: Request) -> Response:
        found = (one for one in self._face.store.firewalls.values() if one.vendor == "linode")
        return self._face.page_of(request, [linode_shapes.firewall(one, self._face.store) for one in found])

    def _device_of(self, firewall: Firewall, number: str) -> linode_shapes.Shape:
        for device in linode_shapes.devices(firewall, self._face.store):
            if str(device["id"]) == number:
                return device
        raise ApiError(404, "Not found")

    def _attachable(self, number: str) -> Instance:
        machine = self._face.store.instance("linode", number)
        if machine is None:
            raise ApiError(400, f"Linode {number} not found", field="id")
        if machine.firewall:
            raise ApiError(400, f"Linode {number} is already assigned to a firewall", field="id")
        return machine

    def _check_label(self, wanted: linode_orders.Body) -> None:
        if not wanted.get("label"):
            raise ApiError(400, "label is required", field="label")
        others = (one.label for one in self._face.store.firewalls.values() if one.vendor == "linode")
        linode_orders.label(wanted["label"], linode_orders.FIREWALL_LABEL, others, "firewalls")

    def _mark_rules(self, firewall: Firewall) -> None:
        rules = firewall.attributes["rules"]
        rules["version"] = firewall.attributes["version"] = firewall.attributes.get("version", 0) + 1
        rules["fingerprint"] = hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()[:8]

    def _firewall(self, request: Request) -> Firewall:
        found = self._face.store.firewalls.get(request.path_params["id"])
        if found is None or found.vendor != "linode":
            raise ApiError(404, "Not found")
        return found
