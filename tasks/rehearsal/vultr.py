"""Vultr's API v2, as far as its Pulumi plugin and its own clients ask for machines and what belongs to them."""

import base64
import typing
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tasks.rehearsal import vultr_orders, vultr_shapes, vultr_things
from tasks.rehearsal.edge import Edge, Handler, body
from tasks.rehearsal.linode import Life
from tasks.rehearsal.store import ApiError, Attributes, Firewall, Instance, Store

_PAGE = 100
_PAGE_LIMIT = 500


def words(error: ApiError) -> dict[str, typing.Any]:
    """An error as Vultr words it."""
    return {"error": error.reason, "status": error.status}


class Vultr:
    """The calls."""

    def __init__(self, store: Store, edge: Edge, life: Life) -> None:
        self.store = store
        self.edge = edge
        self._life = life

    def routes(self) -> list[BaseRoute]:
        """Below /v2."""
        return [Route(f"/v2/{path}", handler, methods=[method]) for method, path, handler in self._calls()]

    def _calls(self) -> list[tuple[str, str, Handler]]:
        guard, everybody = self.edge.guard, self.edge.open
        one = "instances/{id}"
        group = "firewalls/{id}"
        return [
            ("GET", "regions", everybody(self.listing("regions", vultr_shapes.regions))),
            ("GET", "plans", everybody(self.listing("plans", vultr_shapes.plans))),
            ("GET", "os", everybody(self.listing("os", vultr_shapes.images))),
            ("GET", "account", guard(self._account)),
            ("GET", "instances", guard(self._instances)),
            ("POST", "instances", guard(self._create, creates=True)),
            ("GET", one, guard(self._show)),
            ("PATCH", one, guard(self._change)),
            ("DELETE", one, guard(self._delete)),
            ("GET", f"{one}/backup-schedule", guard(self._backups)),
            ("GET", f"{one}/vpcs", guard(self._networks)),
            ("GET", f"{one}/vpc2", guard(self._no_networks)),
            ("GET", f"{one}/user-data", guard(self._user_data)),
            ("GET", "firewalls", guard(self.listing("firewall_groups", self._groups))),
            ("POST", "firewalls", guard(self._create_group)),
            ("GET", group, guard(self._show_group)),
            ("PUT", group, guard(self._change_group)),
            ("DELETE", group, guard(self._delete_group)),
            ("GET", f"{group}/rules", guard(self._rules)),
            ("POST", f"{group}/rules", guard(self._create_rule)),
            ("GET", f"{group}/rules/{{rule}}", guard(self._show_rule)),
            ("DELETE", f"{group}/rules/{{rule}}", guard(self._delete_rule)),
            *vultr_things.calls(self),
        ]

    # --- instances ----------------------------------------------------------------------------------

    async def _account(self, request: Request) -> Response:
        del request
        account = {"name": "rehearsal", "email": "", "acls": list(vultr_shapes.RIGHTS), "balance": 0}
        return JSONResponse({"account": account})

    async def _instances(self, request: Request) -> Response:
        found = [vultr_shapes.instance(one, self.store) for one in self.store.instances("vultr")]
        for key in ("label", "main_ip", "region", "hostname", "firewall_group_id"):
            wanted = request.query_params.get(key)
            found = [one for one in found if not wanted or one[key] == wanted]
        tag = request.query_params.get("tag")
        return self._page("instances", [one for one in found if not tag or tag in one["tags"]], request)

    async def _create(self, request: Request) -> Response:
        order = vultr_orders.instance(self.store, await body(request))
        if self.edge.faults.strikes("no-capacity"):
            raise ApiError(400, "Plan is not available in the selected region")
        instance = self.store.create(order, **self.edge.faults.boot())
        self._life.begin(instance)
        shape = vultr_shapes.instance(instance, self.store)
        # An address is known, and shown, only once the machine is provisioned.
        return JSONResponse({"instance": {**shape, "main_ip": "0.0.0.0", "default_password": ""}}, 202)  # noqa: S104

    async def _show(self, request: Request) -> Response:
        return JSONResponse({"instance": vultr_shapes.instance(self._one(request), self.store)})

    async def _change(self, request: Request) -> Response:
        instance, wanted = self._one(request), await body(request)
        group = wanted.get("firewall_group_id")
        if group is not None:
            instance.firewall = vultr_orders.group(self.store, group).id if group else ""
        for key in ("attach_vpc", "detach_vpc"):
            for network in wanted.get(key) or ():
                if network not in self.store.kind("vultr", "vpcs"):
                    raise ApiError(404, "Invalid VPC ID")
        kept = set(instance.attributes["vpcs"]) | set(wanted.get("attach_vpc") or ())
        instance.attributes["vpcs"] = sorted(kept - set(wanted.get("detach_vpc") or ()))
        vultr_orders.resize(instance, wanted)
        if wanted.get("label") is not None:
            instance.label = str(wanted["label"])
        if wanted.get("tags") is not None:
            instance.tags = [str(tag) for tag in wanted["tags"]]
        if wanted.get("backups") is not None:
            instance.attributes["backups"] = wanted["backups"] == "enabled"
        instance.updated = self.store.clock()
        return JSONResponse({"instance": vultr_shapes.instance(instance, self.store)}, 202)

    async def _delete(self, request: Request) -> Response:
        instance = self._one(request)
        # Asked again while it is listed, it is answered as before.
        if instance.gone_at is None:
            self.store.delete(instance, late=self.edge.faults.strikes("late-delete"))
            instance.attributes["vpcs"] = []
            self._life.end(instance)
        return Response(status_code=204)

    async def _backups(self, request: Request) -> Response:
        enabled = self._one(request).attributes["backups"]
        schedule = {"enabled": enabled, "type": "", "next_scheduled_time_utc": "", "hour": 0, "dow": 0, "dom": 0}
        return JSONResponse({"backup_schedule": schedule})

    async def _networks(self, request: Request) -> Response:
        shapes = [
            {"id": network, "mac_address": "", "ip_address": ""} for network in self._one(request).attributes["vpcs"]
        ]
        return JSONResponse(vultr_shapes.wrapped("vpcs", shapes))

    async def _no_networks(self, request: Request) -> Response:
        self._one(request)
        return JSONResponse(vultr_shapes.wrapped("vpcs", []))

    async def _user_data(self, request: Request) -> Response:
        data = base64.b64encode(self._one(request).user_data.encode()).decode()
        return JSONResponse({"user_data": {"data": data}})

    # --- firewall groups ----------------------------------------------------------------------------

    async def _create_group(self, request: Request) -> Response:
        wanted = await body(request)
        now = self.store.clock()
        description = str(wanted.get("description") or "")
        made = Firewall("vultr", self.store.new_id("vultr"), description, [], now, now, {"rules": {}, "next": 1})
        self.store.firewalls[made.id] = made
        return JSONResponse({"firewall_group": vultr_shapes.firewall(made, self.store)}, 201)

    async def _show_group(self, request: Request) -> Response:
        return JSONResponse({"firewall_group": vultr_shapes.firewall(self._group(request), self.store)})

    async def _change_group(self, request: Request) -> Response:
        group, wanted = self._group(request), await body(request)
        group.label = str(wanted.get("description") or "")
        group.updated = self.store.clock()
        return Response(status_code=204)

    async def _delete_group(self, request: Request) -> Response:
        group = self._group(request)
        if self.store.machines_behind(group):
            raise ApiError(400, "This firewall group is in use by instances")
        del self.store.firewalls[group.id]
        return Response(status_code=204)

    async def _rules(self, request: Request) -> Response:
        return self._page("firewall_rules", list(self._group(request).attributes["rules"].values()), request)

    async def _create_rule(self, request: Request) -> Response:
        group = self._group(request)
        rule = vultr_orders.rule(await body(request))
        rules = group.attributes["rules"]
        same = ("ip_type", "protocol", "port", "subnet", "subnet_size", "source")
        if any(all(other[key] == rule[key] for key in same) for other in rules.values()):
            raise ApiError(400, "This rule is already defined")
        number = group.attributes["next"]
        group.attributes["next"] = number + 1
        rules[number] = {"id": number, **rule}
        group.updated = self.store.clock()
        return JSONResponse({"firewall_rule": rules[number]}, 201)

    async def _show_rule(self, request: Request) -> Response:
        return JSONResponse({"firewall_rule": self._rule(request)[1]})

    async def _delete_rule(self, request: Request) -> Response:
        group, rule = self._rule(request)
        del group.attributes["rules"][rule["id"]]
        return Response(status_code=204)

    def _groups(self) -> list[vultr_shapes.Shape]:
        found = (one for one in self.store.firewalls.values() if one.vendor == "vultr")
        return [vultr_shapes.firewall(one, self.store) for one in found]

    # --- what all of them need ----------------------------------------------------------------------

    def listing(self, key: str, entries: typing.Callable[[], Sequence[vultr_shapes.Shape]]) -> Handler:
        """A call that answers with a page of a list."""

        async def answer(request: Request) -> Response:
            return self._page(key, entries(), request)

        return answer

    def _page(self, key: str, entries: Sequence[vultr_shapes.Shape], request: Request) -> Response:
        try:
            size = int(request.query_params.get("per_page") or _PAGE)
            cursor = request.query_params.get("cursor") or ""
            start = int(base64.urlsafe_b64decode(cursor).decode()) if cursor else 0
        except ValueError:
            raise ApiError(400, "Invalid cursor or per_page") from None
        if not 1 <= size <= _PAGE_LIMIT:
            raise ApiError(400, "Invalid per_page")
        found = self.edge.faults.shuffled(list(entries))
        end = start + size
        following = _cursor(end) if end < len(found) else ""
        before = _cursor(max(0, start - size)) if start else ""
        return JSONResponse({key: found[start:end], "meta": vultr_shapes.meta(len(found), following, before)})

    def _one(self, request: Request) -> Instance:
        found = self.store.instance("vultr", request.path_params["id"])
        if found is None:
            raise ApiError(404, "invalid instance ID")
        return found

    def _group(self, request: Request) -> Firewall:
        return vultr_orders.group(self.store, request.path_params["id"])

    def _rule(self, request: Request) -> tuple[Firewall, Attributes]:
        group = self.store.firewalls.get(request.path_params["id"])
        number = request.path_params["rule"]
        if group is None or group.vendor != "vultr":
            raise ApiError(404, "Firewall rule ID not found")
        rule = group.attributes["rules"].get(int(number) if number.isdigit() else 0)
        if rule is None:
            raise ApiError(404, "Firewall rule ID not found")
        return group, rule


def _cursor(start: int) -> str:
    return base64.urlsafe_b64encode(str(start).encode()).decode()
