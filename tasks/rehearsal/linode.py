"""Linode's API v4, as far as its Pulumi plugin and its own clients ask for machines and what belongs to them."""

import json
import typing
from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tasks.rehearsal import filters, linode_firewalls, linode_orders, linode_shapes, linode_things
from tasks.rehearsal.edge import Edge, Handler, body
from tasks.rehearsal.store import ApiError, Instance, Store

PREFIXES = ("/v4", "/v4beta")


class Life(typing.Protocol):
    """What becomes of instances outside of the store."""

    def begin(self, instance: Instance) -> None:
        """Give it an address and begin to boot it."""
        ...

    def end(self, instance: Instance) -> None:
        """Begin to take it away."""
        ...


def words(error: ApiError) -> dict[str, typing.Any]:
    """An error as Linode words it."""
    entry = {"reason": error.reason, **({"field": error.field} if error.field else {})}
    return {"errors": [entry]}


class Linode:
    """The calls."""

    def __init__(self, store: Store, edge: Edge, life: Life) -> None:
        self.store = store
        self.edge = edge
        self._life = life

    def routes(self) -> list[BaseRoute]:
        """Under both versions of the API."""
        return [
            Route(f"{prefix}/{path}", handler, methods=[method])
            for prefix in PREFIXES
            for method, path, handler in self._calls()
        ]

    def _calls(self) -> list[tuple[str, str, Handler]]:
        guard, everybody = self.edge.guard, self.edge.open
        one = "linode/instances/{id}"
        return [
            ("GET", "regions", everybody(self._listing(linode_shapes.regions))),
            ("GET", "linode/types", everybody(self._listing(linode_shapes.types))),
            ("GET", "linode/types/{id}", everybody(self._type)),
            ("GET", "images", everybody(self._listing(linode_shapes.images))),
            ("GET", "linode/instances", guard(self._listing(self._instances))),
            ("POST", "linode/instances", guard(self._create, creates=True)),
            ("GET", one, guard(self._show)),
            ("PUT", one, guard(self._change)),
            ("DELETE", one, guard(self._delete)),
            ("POST", f"{one}/boot", guard(self._power("linode_boot"))),
            ("POST", f"{one}/reboot", guard(self._power("linode_reboot"))),
            ("POST", f"{one}/shutdown", guard(self._power("linode_shutdown"))),
            ("GET", f"{one}/ips", guard(self._part(linode_shapes.addresses))),
            ("POST", f"{one}/ips", guard(self._more_addresses)),
            ("GET", f"{one}/disks", guard(self._part_list(linode_shapes.disk))),
            ("GET", f"{one}/configs", guard(self._part_list(linode_shapes.config))),
            ("GET", f"{one}/configs/{{part}}", guard(self._part(linode_shapes.config))),
            ("PUT", f"{one}/configs/{{part}}", guard(self._change_config)),
            ("GET", f"{one}/firewalls", guard(self._firewalls_of)),
            ("GET", "profile", guard(self._profile)),
            ("GET", "account/events", guard(self._listing(self._events))),
            ("GET", "account/events/{id}", guard(self._event)),
            *linode_firewalls.calls(self),
            *linode_things.calls(self),
        ]

    # --- instances ----------------------------------------------------------------------------------

    async def _create(self, request: Request) -> Response:
        wanted = await body(request)
        order = linode_orders.instance(self.store, wanted)
        if self.edge.faults.strikes("no-capacity"):
            raise ApiError(400, "No open slots for this plan!")
        instance = self.store.create(order, **self.edge.faults.boot())
        instance.label = instance.label or f"linode{instance.id}"
        instance.attributes["device"] = self.store.number()
        self._life.begin(instance)
        self.store.log("linode_create", instance.id, instance.label, takes_s=0)
        return self.shown(linode_shapes.instance(instance, self.store.clock()))

    async def _show(self, request: Request) -> Response:
        return self.shown(linode_shapes.instance(self._one(request), self.store.clock()))

    async def _change(self, request: Request) -> Response:
        instance, wanted = self._one(request), await body(request)
        if "label" in wanted and wanted["label"] != instance.label:
            others = (one.label for one in self.store.instances("linode"))
            linode_orders.label(wanted["label"], linode_orders.INSTANCE_LABEL, others, "linodes")
            instance.label = wanted["label"]
        if "tags" in wanted:
            instance.tags = linode_orders.tags(wanted)
        for key in ("alerts", "group", "watchdog_enabled", "maintenance_policy"):
            if key in wanted:
                instance.attributes[key] = wanted[key]
        instance.updated = self.store.clock()
        return self.shown(linode_shapes.instance(instance, self.store.clock()))

    async def _delete(self, request: Request) -> Response:
        instance = self._one(request)
        if instance.gone_at is None:
            self.store.delete(instance, late=self.edge.faults.strikes("late-delete"))
            self._life.end(instance)
        # Asked again while it goes, too: clients wait for an event of their own.
        takes_s = max(0.0, (instance.gone_at or 0.0) - self.store.clock())
        self.store.log("linode_delete", instance.id, instance.label, takes_s=takes_s)
        return self.shown({})

    async def _change_config(self, request: Request) -> Response:
        instance, wanted = self._one(request), await body(request)
        if wanted.get("interfaces") is not None:
            instance.attributes["interfaces"] = linode_orders.interfaces(self.store, wanted, instance.region)
        said = {key: value for key, value in wanted.items() if value is not None and key != "interfaces"}
        instance.attributes["config"] = {**instance.attributes.get("config", {}), **said}
        return self.shown(linode_shapes.config(instance))

    def _power(self, action: str) -> Handler:
        async def answer(request: Request) -> Response:
            instance = self._one(request)
            # Its node runs on: what was asked for is an event, and what is said of it.
            instance.attributes["off"] = action == "linode_shutdown"
            self.store.log(action, instance.id, instance.label, takes_s=0)
            return self.shown({})

        return answer

    async def _more_addresses(self, request: Request) -> Response:
        instance, wanted = self._one(request), await body(request)
        if wanted.get("type") != "ipv4" or wanted.get("public") is not False:
            raise ApiError(400, "Additional public addresses need a support ticket", field="public")
        instance.attributes["private_ip"] = True
        return self.shown(linode_shapes.addresses(instance)["ipv4"]["private"][0])

    async def _profile(self, request: Request) -> Response:
        del request
        response = self.shown({"username": "rehearsal", "email": "", "restricted": False, "uid": 1})
        response.headers["X-OAuth-Scopes"] = "*"
        return response

    async def _type(self, request: Request) -> Response:
        for entry in linode_shapes.types():
            if entry["id"] == request.path_params["id"]:
                return self.shown(entry)
        raise ApiError(404, "Not found")

    async def _firewalls_of(self, request: Request) -> Response:
        found = self.store.firewalls.get(self._one(request).firewall)
        return self.page_of(request, [linode_shapes.firewall(found, self.store)] if found else [])

    async def _event(self, request: Request) -> Response:
        for event in self.store.events:
            if str(event.id) == request.path_params["id"]:
                return self.shown(linode_shapes.event(event, self.store.clock()))
        raise ApiError(404, "Not found")

    def _instances(self) -> Iterable[filters.Entry]:
        return [linode_shapes.instance(one, self.store.clock()) for one in self.store.instances("linode")]

    def _events(self) -> Iterable[filters.Entry]:
        now = self.store.clock()
        return [linode_shapes.event(event, now) for event in reversed(self.store.events)]

    # --- what all of them need ----------------------------------------------------------------------

    def shown(self, shape: typing.Any) -> Response:
        """An answer."""
        return JSONResponse(shape)

    def page_of(self, request: Request, entries: Iterable[filters.Entry]) -> Response:
        """One page of what the request's filter leaves of `entries`."""
        try:
            number = int(request.query_params.get("page", "1"))
            size = int(request.query_params.get("page_size", str(filters.PAGE_SIZE)))
            where = json.loads(request.headers.get("x-filter", "{}"))
            found = filters.filtered(list(entries), where)
        except (ValueError, TypeError, AttributeError):
            raise ApiError(400, "Invalid page, page_size or X-Filter") from None
        if size not in filters.PAGE_SIZES or number < 1:
            raise ApiError(400, "page_size must be 25-500", field="page_size")
        if "+order_by" not in where:
            found = self.edge.faults.shuffled(found)
        return JSONResponse(filters.page(found, number, size))

    def _listing(self, entries: typing.Callable[[], Iterable[filters.Entry]]) -> Handler:
        async def answer(request: Request) -> Response:
            return self.page_of(request, entries())

        return answer

    def _part(self, shape: typing.Callable[[Instance], linode_shapes.Shape]) -> Handler:
        async def answer(request: Request) -> Response:
            return self.shown(shape(self._one(request)))

        return answer

    def _part_list(self, shape: typing.Callable[[Instance], linode_shapes.Shape]) -> Handler:
        async def answer(request: Request) -> Response:
            return self.page_of(request, [shape(self._one(request))])

        return answer

    def _one(self, request: Request) -> Instance:
        found = self.store.instance("linode", request.path_params["id"])
        if found is None:
            raise ApiError(404, "Not found")
        return found
