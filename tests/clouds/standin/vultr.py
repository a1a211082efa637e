"""A stand-in for pulumi-resource-vultr: instances and firewall groups, by the calls that the real one makes."""

import base64
import os
import time
import typing

from tests.clouds.standin.plugin import HalfMadeError, Kind, Made, Plugin, State, serve
from tests.clouds.standin.rest import CallError, Rest

# The real one waits 10 s before each look.
_POLL_S = 0.2
_CREATE_LIMIT_S = float(os.environ.get("STANDIN_CREATE_LIMIT_S", "900"))


class Vultr:
    """The API, once configured."""

    def __init__(self) -> None:
        self._rest: Rest | None = None

    def configure(self, config: State) -> None:
        base = os.environ.get("GAXX_VULTR_URL", "https://api.vultr.com")
        token = config.get("apiKey") or os.environ.get("VULTR_API_KEY", "")
        self._rest = Rest(
            f"{base}/v2/",
            token,
            again=lambda response: response.status_code == 429 or response.is_server_error,
            attempts=4,
        )

    def call(self, method: str, path: str, body: object = None) -> dict[str, typing.Any]:
        assert self._rest is not None
        return self._rest(method, path, body)

    def found(self, path: str, gone: str) -> dict[str, typing.Any] | None:
        """None when the error says so by its text, which is how the real one knows."""
        try:
            return self.call("GET", path)
        except CallError as error:
            if gone in error.text:
                return None
            raise


class Instance(Kind):
    """vultr:index/instance:Instance."""

    replaces: typing.ClassVar[frozenset[str]] = frozenset(
        {"region", "osId", "userData", "sshKeyIds", "hostname", "userScheme"}
    )
    defaults: typing.ClassVar[State] = {"backups": "disabled", "enableIpv6": False}

    def __init__(self, api: Vultr) -> None:
        self._api = api

    def create(self, inputs: State) -> Made:
        body = {
            "region": inputs["region"],
            "plan": inputs["plan"],
            "os_id": int(inputs["osId"]),
            "label": inputs.get("label", ""),
            "tags": inputs.get("tags"),
            "hostname": inputs.get("hostname", ""),
            "firewall_group_id": inputs.get("firewallGroupId", ""),
            "sshkey_id": inputs.get("sshKeyIds", []),
            "attach_vpc": inputs.get("vpcIds", []),
            "enable_ipv6": inputs.get("enableIpv6", False),
            "disable_public_ipv4": False,
            "ddos_protection": False,
            "activation_email": inputs.get("activationEmail", True),
            "backups": inputs.get("backups", "disabled"),
            "user_scheme": inputs.get("userScheme", "root"),
            "user_data": base64.b64encode(inputs.get("userData", "").encode()).decode(),
        }
        made = self._api.call("POST", "instances", body)["instance"]
        deadline = time.monotonic() + _CREATE_LIMIT_S
        for key, wanted in (("status", "active"), ("power_status", "running")):
            while self._api.call("GET", f"instances/{made['id']}")["instance"][key] != wanted:
                if time.monotonic() > deadline:
                    message = f"error while waiting for Server {made['id']} to be completed: timeout"
                    raise HalfMadeError(made["id"], self.read(made["id"], inputs) or inputs, message)
                time.sleep(_POLL_S)
        return Made(made["id"], self.read(made["id"], inputs) or {})

    def read(self, resource_id: str, state: State) -> State | None:
        answer = self._api.found(f"instances/{resource_id}", "invalid instance ID")
        if answer is None:
            return None
        one = answer["instance"]
        enabled = self._api.call("GET", f"instances/{resource_id}/backup-schedule")["backup_schedule"]["enabled"]
        networks = self._api.call("GET", f"instances/{resource_id}/vpcs")["vpcs"]
        self._api.call("GET", f"instances/{resource_id}/vpc2")
        kept: State = {key: state[key] for key in ("label", "userData", "activationEmail", "sshKeyIds") if key in state}
        return {
            **kept,
            "region": one["region"],
            "plan": one["plan"],
            "osId": one["os_id"],
            "tags": one["tags"],
            "hostname": one["hostname"],
            "firewallGroupId": one["firewall_group_id"],
            "vpcIds": [network["id"] for network in networks],
            "userScheme": one["user_scheme"],
            "mainIp": one["main_ip"],
            "dateCreated": one["date_created"],
            "status": one["status"],
            "powerStatus": one["power_status"],
            "enableIpv6": "ipv6" in one["features"],
            "backups": "enabled" if enabled else "disabled",
        }

    def update(self, resource_id: str, state: State, inputs: State) -> State:
        changed = inputs.get("tags") if inputs.get("tags") != state.get("tags") else None
        body = {
            "label": inputs.get("label"),
            "tags": changed,
            "enable_ipv6": inputs.get("enableIpv6", False),
            "ddos_protection": None,
            "firewall_group_id": inputs.get("firewallGroupId"),
        }
        self._api.call("PATCH", f"instances/{resource_id}", body)
        return self.read(resource_id, inputs) or {}

    def delete(self, resource_id: str, state: State) -> None:
        if state.get("vpcIds"):
            body = {"tags": None, "detach_vpc": state["vpcIds"], "ddos_protection": None}
            self._api.call("PATCH", f"instances/{resource_id}", body)
        self._api.call("DELETE", f"instances/{resource_id}")


class Group(Kind):
    """vultr:index/firewallGroup:FirewallGroup."""

    def __init__(self, api: Vultr) -> None:
        self._api = api

    def create(self, inputs: State) -> Made:
        made = self._api.call("POST", "firewalls", {"description": inputs.get("description", "")})["firewall_group"]
        return Made(made["id"], self.read(made["id"], inputs) or {})

    def read(self, resource_id: str, state: State) -> State | None:
        del state
        answer = self._api.found(f"firewalls/{resource_id}", '"status":404')
        if answer is None:
            return None
        group = answer["firewall_group"]
        return {"description": group["description"], "ruleCount": group["rule_count"]}

    def update(self, resource_id: str, state: State, inputs: State) -> State:
        del state
        self._api.call("PUT", f"firewalls/{resource_id}", {"description": inputs.get("description", "")})
        return self.read(resource_id, inputs) or {}

    def delete(self, resource_id: str, state: State) -> None:
        del state
        self._api.call("DELETE", f"firewalls/{resource_id}")


class Rule(Kind):
    """vultr:index/firewallRule:FirewallRule."""

    replaces: typing.ClassVar[frozenset[str]] = frozenset(
        {"firewallGroupId", "ipType", "protocol", "subnet", "subnetSize", "port", "source", "notes"}
    )

    def __init__(self, api: Vultr) -> None:
        self._api = api

    def create(self, inputs: State) -> Made:
        body = {
            "ip_type": inputs["ipType"],
            "protocol": inputs["protocol"],
            "subnet": inputs["subnet"],
            "subnet_size": int(inputs["subnetSize"]),
            "port": inputs.get("port", ""),
            "source": inputs.get("source", ""),
            "notes": inputs.get("notes", ""),
        }
        made = self._api.call("POST", f"firewalls/{inputs['firewallGroupId']}/rules", body)["firewall_rule"]
        return Made(str(made["id"]), self.read(str(made["id"]), inputs) or {})

    def read(self, resource_id: str, state: State) -> State | None:
        group = state["firewallGroupId"]
        answer = self._api.found(f"firewalls/{group}/rules/{resource_id}", "Firewall rule ID not found")
        if answer is None:
            return None
        rule = answer["firewall_rule"]
        return {
            "firewallGroupId": group,
            "ipType": rule["ip_type"],
            "protocol": rule["protocol"],
            "subnet": rule["subnet"],
            "subnetSize": rule["subnet_size"],
            "port": rule["port"],
            "notes": rule["notes"],
        }

    def update(self, resource_id: str, state: State, inputs: State) -> State:
        del resource_id, inputs
        return state

    def delete(self, resource_id: str, state: State) -> None:
        self._api.call("DELETE", f"firewalls/{state['firewallGroupId']}/rules/{resource_id}")


class Vpc(Kind):
    """vultr:index/vpc:Vpc."""

    replaces: typing.ClassVar[frozenset[str]] = frozenset({"region", "v4Subnet", "v4SubnetMask"})

    def __init__(self, api: Vultr) -> None:
        self._api = api

    def create(self, inputs: State) -> Made:
        body = {
            "region": inputs["region"],
            "description": inputs.get("description", ""),
            "v4_subnet": inputs.get("v4Subnet", ""),
            "v4_subnet_mask": int(inputs.get("v4SubnetMask", 0)),
        }
        made = self._api.call("POST", "vpcs", body)["vpc"]
        return Made(made["id"], self.read(made["id"], inputs) or {})

    def read(self, resource_id: str, state: State) -> State | None:
        del state
        answer = self._api.found(f"vpcs/{resource_id}", "Invalid VPC ID")
        if answer is None:
            return None
        one = answer["vpc"]
        return {
            "region": one["region"],
            "description": one["description"],
            "v4Subnet": one["v4_subnet"],
            "v4SubnetMask": one["v4_subnet_mask"],
        }

    def update(self, resource_id: str, state: State, inputs: State) -> State:
        del state
        self._api.call("PUT", f"vpcs/{resource_id}", {"description": inputs.get("description", "")})
        return self.read(resource_id, inputs) or {}

    def delete(self, resource_id: str, state: State) -> None:
        del state
        deadline = time.monotonic() + _CREATE_LIMIT_S
        while True:
            try:
                self._api.call("DELETE", f"vpcs/{resource_id}")
            except CallError as error:
                if "attached to this VPC network" not in error.text or time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)
            else:
                return


class Key(Kind):
    """vultr:index/sSHKey:SSHKey."""

    def __init__(self, api: Vultr) -> None:
        self._api = api

    def create(self, inputs: State) -> Made:
        made = self._api.call("POST", "ssh-keys", {"name": inputs["name"], "ssh_key": inputs["sshKey"]})["ssh_key"]
        return Made(made["id"], self.read(made["id"], inputs) or {})

    def read(self, resource_id: str, state: State) -> State | None:
        del state
        answer = self._api.found(f"ssh-keys/{resource_id}", "Invalid ssh key")
        return answer and {"name": answer["ssh_key"]["name"], "sshKey": answer["ssh_key"]["ssh_key"]}

    def update(self, resource_id: str, state: State, inputs: State) -> State:
        wanted = {"name": inputs["name"], "ssh_key": inputs["sshKey"]}
        was = {"name": state.get("name"), "ssh_key": state.get("sshKey")}
        self._api.call("PATCH", f"ssh-keys/{resource_id}", {k: v for k, v in wanted.items() if v != was[k]})
        return self.read(resource_id, inputs) or {}

    def delete(self, resource_id: str, state: State) -> None:
        del state
        self._api.call("DELETE", f"ssh-keys/{resource_id}")


def main() -> None:
    api = Vultr()
    kinds: dict[str, Kind] = {
        "vultr:index/instance:Instance": Instance(api),
        "vultr:index/firewallGroup:FirewallGroup": Group(api),
        "vultr:index/firewallRule:FirewallRule": Rule(api),
        "vultr:index/vpc:Vpc": Vpc(api),
        "vultr:index/sSHKey:SSHKey": Key(api),
    }
    serve(Plugin("2.27.1", kinds, api.configure))


if __name__ == "__main__":
    main()
