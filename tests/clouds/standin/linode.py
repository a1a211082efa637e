"""A stand-in for pulumi-resource-linode: instances and firewalls, by the calls that the real one makes."""

import json
import os
import secrets
import time
import typing

from tests.clouds.standin.plugin import HalfMadeError, Kind, Made, Plugin, PluginError, State, serve
from tests.clouds.standin.rest import CallError, Rest

_POLL_S = int(os.environ.get("LINODE_EVENT_POLL_MS", "3000")) / 1000
_CREATE_LIMIT_S = float(os.environ.get("STANDIN_CREATE_LIMIT_S", "900"))


class Linode:
    """The API, once configured."""

    def __init__(self) -> None:
        self._rest: Rest | None = None

    def configure(self, config: State) -> None:
        base = config.get("url") or os.environ.get("LINODE_URL") or "https://api.linode.com"
        version = config.get("apiVersion") or os.environ.get("LINODE_API_VERSION") or "v4"
        token = config.get("token") or os.environ.get("LINODE_TOKEN", "")
        self._rest = Rest(
            f"{base.rstrip('/')}/{version}/",
            token,
            again=lambda response: response.status_code in (408, 429, 503) or "Linode busy" in response.text,
            attempts=1000,
        )
        self.call("GET", "linode/types?page=100")

    def call(self, method: str, path: str, body: object = None, **more: typing.Any) -> dict[str, typing.Any]:
        assert self._rest is not None
        return self._rest(method, path, body, **more)

    def found(self, path: str) -> dict[str, typing.Any] | None:
        try:
            return self.call("GET", path)
        except CallError as error:
            if error.status == 404:
                return None
            raise


class Instance(Kind):
    """linode:index/instance:Instance."""

    replaces: typing.ClassVar[frozenset[str]] = frozenset(
        {
            "image",
            "rootPass",
            "authorizedKeys",
            "metadatas",
            "firewallId",
            "diskEncryption",
            "interfaceGeneration",
            "region",
        }
    )
    defaults: typing.ClassVar[State] = {"backupsEnabled": False, "watchdogEnabled": True}

    def __init__(self, api: Linode) -> None:
        self._api = api

    def create(self, inputs: State) -> Made:
        body: State = {
            "region": inputs["region"],
            "type": inputs["type"],
            "label": inputs.get("label"),
            "tags": inputs.get("tags", []),
            "image": inputs.get("image"),
            "root_pass": inputs.get("rootPass") or secrets.token_urlsafe(32),
            "authorized_keys": inputs.get("authorizedKeys", []),
            "backups_enabled": inputs.get("backupsEnabled", False),
            "swap_size": inputs.get("swapSize"),
            "disk_encryption": inputs.get("diskEncryption"),
            "interface_generation": inputs.get("interfaceGeneration"),
            "metadata": {"user_data": inputs["metadatas"][0]["userData"]} if inputs.get("metadatas") else None,
            "firewall_id": int(inputs["firewallId"]) if inputs.get("firewallId") else None,
            "interfaces": [self._interface(one) for one in inputs["interfaces"]] if inputs.get("interfaces") else None,
        }
        made = self._api.call(
            "POST", "linode/instances", {key: value for key, value in body.items() if value is not None}
        )
        number = str(made["id"])
        if not inputs.get("watchdogEnabled", True):
            self._api.call("PUT", f"linode/instances/{number}", {"watchdog_enabled": False})
        deadline = time.monotonic() + _CREATE_LIMIT_S
        while self._api.call("GET", f"linode/instances/{number}")["status"] != "running":
            if time.monotonic() > deadline:
                message = f"Error waiting for Instance {number} to finish creating: timed out"
                raise HalfMadeError(number, self.read(number, inputs) or inputs, message)
            time.sleep(_POLL_S)
        return Made(number, self.read(number, inputs) or {})

    def read(self, resource_id: str, state: State) -> State | None:
        path = f"linode/instances/{resource_id}"
        one = self._api.found(path)
        if one is None:
            return None
        addresses = self._api.call("GET", f"{path}/ips")["ipv4"]
        self._api.call("GET", f"{path}/disks?page=1")
        configs = self._api.call("GET", f"{path}/configs?page=1")["data"]
        # Never read back: firewall, user-data, keys.
        kept: State = {
            key: state[key] for key in ("metadatas", "firewallId", "authorizedKeys", "rootPass") if key in state
        }
        return {
            **kept,
            "label": one["label"],
            "tags": one["tags"],
            "region": one["region"],
            "type": one["type"],
            "image": one["image"],
            "status": one["status"],
            "ipAddress": addresses["public"][0]["address"],
            "ipv4s": one["ipv4"],
            "diskEncryption": one["disk_encryption"],
            "interfaceGeneration": one["interface_generation"],
            "watchdogEnabled": one["watchdog_enabled"],
            "backupsEnabled": one["backups"]["enabled"],
            "hasUserData": one["has_user_data"],
            "specs": [{"vcpus": one["specs"]["vcpus"], "memory": one["specs"]["memory"]}],
            "alerts": {"cpu": one["alerts"]["cpu"]},
            "bootConfigLabel": configs[0]["label"],
            "interfaces": [self._shown(one) for one in configs[0]["interfaces"]],
        }

    def update(self, resource_id: str, state: State, inputs: State) -> State:
        path = f"linode/instances/{resource_id}"
        self._api.call("GET", path)
        if inputs["type"] != state["type"]:
            message = "this stand-in does not resize"
            raise PluginError(message)
        if len(inputs.get("interfaces") or ()) != len(state.get("interfaces") or ()):
            message = "this stand-in connects nothing to a machine that runs"
            raise PluginError(message)
        changed: State = {
            key: inputs[key] for key in ("label", "tags") if key in inputs and inputs[key] != state.get(key)
        }
        if inputs.get("watchdogEnabled", True) != state.get("watchdogEnabled", True):
            changed["watchdog_enabled"] = inputs.get("watchdogEnabled", True)
        if changed:
            self._api.call("PUT", path, changed)
        self._api.call("GET", f"linode/types/{inputs['type']}")
        configs = self._api.call("GET", f"{path}/configs")["data"]
        self._api.call("PUT", f"{path}/configs/{configs[0]['id']}", {"label": configs[0]["label"], "interfaces": None})
        return self.read(resource_id, inputs) or {}

    def delete(self, resource_id: str, state: State) -> None:
        del state
        where = {
            "+order": "desc",
            "+order_by": "created",
            "action": "linode_delete",
            "entity.id": int(resource_id),
            "entity.type": "linode",
        }
        headers = {"X-Filter": json.dumps(where)}
        before = self._api.call("GET", "account/events?page=1", headers=headers)["data"]
        self._api.call("DELETE", f"linode/instances/{resource_id}")
        while (now := self._api.call("GET", "account/events?page=1", headers=headers)["data"]) == before:
            time.sleep(_POLL_S)
        while (event := self._api.call("GET", f"account/events/{now[0]['id']}"))["status"] != "finished":
            if event["status"] == "failed":
                message = f"Error deleting instance {resource_id}"
                raise PluginError(message)
            time.sleep(_POLL_S)

    def _interface(self, one: State) -> State:
        sent = {"purpose": one["purpose"], "primary": bool(one.get("primary"))}
        return {**sent, **({"subnet_id": int(one["subnetId"])} if one.get("subnetId") else {})}

    def _shown(self, one: State) -> State:
        return {"purpose": one["purpose"], "primary": one["primary"], "subnetId": one["subnet_id"]}


class Firewall(Kind):
    """linode:index/firewall:Firewall."""

    # Leaving `linodes` out means that there are none: what is attached otherwise would be taken off.
    defaults: typing.ClassVar[State] = {"linodes": [], "disabled": False, "tags": []}

    def __init__(self, api: Linode) -> None:
        self._api = api

    def create(self, inputs: State) -> Made:
        body = {
            "label": inputs["label"],
            "tags": inputs.get("tags", []),
            "rules": self._rules(inputs),
            "devices": {"linodes": [int(number) for number in inputs.get("linodes", [])]},
        }
        made = self._api.call("POST", "networking/firewalls", body)
        number = str(made["id"])
        return Made(number, self.read(number, inputs) or {})

    def read(self, resource_id: str, state: State) -> State | None:
        del state
        path = f"networking/firewalls/{resource_id}"
        one = self._api.found(path)
        if one is None:
            return None
        rules = self._api.call("GET", f"{path}/rules")
        devices = self._api.call("GET", f"{path}/devices?page=1")["data"]
        return {
            "label": one["label"],
            "tags": one["tags"],
            "disabled": one["status"] == "disabled",
            "inboundPolicy": one["rules"]["inbound_policy"],
            "outboundPolicy": one["rules"]["outbound_policy"],
            "inbounds": [self._shown(rule) for rule in rules["inbound"]],
            "outbounds": [self._shown(rule) for rule in rules["outbound"]],
            "linodes": [device["entity"]["id"] for device in devices],
            "status": one["status"],
        }

    def update(self, resource_id: str, state: State, inputs: State) -> State:
        path = f"networking/firewalls/{resource_id}"
        changed = {key: inputs[key] for key in ("label", "tags") if key in inputs and inputs[key] != state.get(key)}
        if changed:
            self._api.call("PUT", path, changed)
        self._api.call("PUT", f"{path}/rules", self._rules(inputs))
        before, after = ({int(number) for number in each.get("linodes") or ()} for each in (state, inputs))
        if before != after:
            # Only then, like the vendor's plugin: what is ignored as a change is no call.
            self._attach(path, after)
        return self.read(resource_id, inputs) or {}

    def delete(self, resource_id: str, state: State) -> None:
        del state
        self._api.call("DELETE", f"networking/firewalls/{resource_id}")

    def _attach(self, path: str, wanted: set[int]) -> None:
        devices = {device["entity"]["id"]: device["id"] for device in self._api.call("GET", f"{path}/devices")["data"]}
        for number in wanted - devices.keys():
            self._api.call("POST", f"{path}/devices", {"id": number, "type": "linode"})
        for number in devices.keys() - wanted:
            self._api.call("DELETE", f"{path}/devices/{devices[number]}")

    def _rules(self, inputs: State) -> State:
        def rule(entry: State) -> State:
            return {
                **{key: entry[key] for key in ("action", "label", "ports", "protocol") if key in entry},
                "addresses": {family: entry[f"{family}s"] for family in ("ipv4", "ipv6") if entry.get(f"{family}s")},
            }

        return {
            "inbound": [rule(entry) for entry in inputs.get("inbounds", [])],
            "inbound_policy": inputs["inboundPolicy"],
            "outbound": [rule(entry) for entry in inputs.get("outbounds", [])],
            "outbound_policy": inputs["outboundPolicy"],
        }

    def _shown(self, rule: State) -> State:
        shown: State = {key: rule[key] for key in ("action", "label", "ports", "protocol") if key in rule}
        return {**shown, **{f"{family}s": found for family, found in rule["addresses"].items()}}


class Vpc(Kind):
    """linode:index/vpc:Vpc."""

    replaces: typing.ClassVar[frozenset[str]] = frozenset({"region"})

    def __init__(self, api: Linode) -> None:
        self._api = api

    def create(self, inputs: State) -> Made:
        made = self._api.call("POST", "vpcs", {key: inputs.get(key) for key in ("label", "description", "region")})
        return Made(str(made["id"]), self.read(str(made["id"]), inputs) or {})

    def read(self, resource_id: str, state: State) -> State | None:
        del state
        one = self._api.found(f"vpcs/{resource_id}")
        return one and {key: one[key] for key in ("label", "description", "region")}

    def update(self, resource_id: str, state: State, inputs: State) -> State:
        del state
        self._api.call("PUT", f"vpcs/{resource_id}", {key: inputs.get(key) for key in ("label", "description")})
        return self.read(resource_id, inputs) or {}

    def delete(self, resource_id: str, state: State) -> None:
        del state
        self._api.call("DELETE", f"vpcs/{resource_id}")


class VpcSubnet(Kind):
    """linode:index/vpcSubnet:VpcSubnet."""

    replaces: typing.ClassVar[frozenset[str]] = frozenset({"vpcId", "ipv4"})

    def __init__(self, api: Linode) -> None:
        self._api = api

    def create(self, inputs: State) -> Made:
        wanted = {"label": inputs["label"], "ipv4": inputs["ipv4"]}
        made = self._api.call("POST", f"vpcs/{int(inputs['vpcId'])}/subnets", wanted)
        return Made(str(made["id"]), self.read(str(made["id"]), inputs) or {})

    def read(self, resource_id: str, state: State) -> State | None:
        one = self._api.found(f"vpcs/{int(state['vpcId'])}/subnets/{resource_id}")
        return one and {"vpcId": state["vpcId"], "label": one["label"], "ipv4": one["ipv4"]}

    def update(self, resource_id: str, state: State, inputs: State) -> State:
        self._api.call("PUT", f"vpcs/{int(state['vpcId'])}/subnets/{resource_id}", {"label": inputs["label"]})
        return self.read(resource_id, inputs) or {}

    def delete(self, resource_id: str, state: State) -> None:
        path = f"vpcs/{int(state['vpcId'])}/subnets/{resource_id}"
        self._api.call("GET", path)
        self._api.call("DELETE", path)


def main() -> None:
    api = Linode()
    kinds: dict[str, Kind] = {
        "linode:index/instance:Instance": Instance(api),
        "linode:index/firewall:Firewall": Firewall(api),
        "linode:index/vpc:Vpc": Vpc(api),
        "linode:index/vpcSubnet:VpcSubnet": VpcSubnet(api),
    }
    serve(Plugin("6.8.0", kinds, api.configure))


if __name__ == "__main__":
    main()
