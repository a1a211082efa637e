"""Vultr's answers, from what there is. Pure."""

import datetime as dt
import typing
from collections.abc import Sequence

from tasks.rehearsal import catalogue
from tasks.rehearsal.store import Firewall, Instance, Phase, Store

Shape = dict[str, typing.Any]

RIGHTS = ("subscriptions_view", "subscriptions", "provisioning", "firewall", "billing", "upgrade")
"""What the account's key may, as an account's `acls` names it."""

# What a phase is called: status, power_status and server_status.
_STATES: dict[Phase, tuple[str, str, str]] = {
    "provisioning": ("pending", "stopped", "none"),
    "booting": ("active", "stopped", "installingbooting"),
    "running": ("active", "running", "ok"),
    "deleting": ("active", "running", "locked"),
}


def stamp(moment: float) -> str:
    """A time as Vultr writes it."""
    return dt.datetime.fromtimestamp(moment, dt.UTC).isoformat(timespec="seconds")


def meta(total: int, following: str = "", before: str = "") -> Shape:
    """What stands below each list."""
    return {"total": total, "links": {"next": following, "prev": before}}


def wrapped(key: str, entries: Sequence[Shape]) -> Shape:
    """A short list as a whole."""
    return {key: list(entries), "meta": meta(len(entries))}


def instance(one: Instance, store: Store) -> Shape:
    """An instance."""
    plan = catalogue.VULTR_PLANS[one.type]
    status, power, server = _STATES[one.phase(store.clock())]
    os_name, _ = catalogue.VULTR_IMAGES[int(one.image)]
    return {
        "id": one.id,
        "os": os_name,
        "ram": plan.memory_mib,
        "disk": plan.disk_mib // 1024,
        "main_ip": one.address,
        "vcpu_count": plan.cpus,
        "region": one.region,
        "plan": one.type,
        "date_created": stamp(one.created),
        "status": status,
        "allowed_bandwidth": plan.transfer,
        "netmask_v4": "255.255.254.0",
        "gateway_v4": "127.0.0.1",
        "power_status": power,
        "server_status": server,
        "v6_network": "",
        "v6_main_ip": "",
        "v6_network_size": 0,
        "label": one.label,
        "internal_ip": "",
        "kvm": "",
        "hostname": one.attributes["hostname"],
        "tag": one.tags[0] if one.tags else "",
        "tags": list(one.tags),
        "os_id": int(one.image),
        "app_id": 0,
        "image_id": "",
        "snapshot_id": "",
        "firewall_group_id": one.firewall,
        "features": list(one.attributes["features"]),
        "user_scheme": one.attributes["user_scheme"],
        "pending_charges": 0.01,
        "vpcs": [{"id": network, "subnet": _subnet(network, store)} for network in one.attributes["vpcs"]],
    }


def _subnet(network: str, store: Store) -> str:
    found = store.kind("vultr", "vpcs").get(network)
    return f"{found['v4_subnet']}/{found['v4_subnet_mask']}" if found else ""


def firewall(one: Firewall, store: Store) -> Shape:
    """A firewall group."""
    return {
        "id": one.id,
        "description": one.label,
        "date_created": stamp(one.created),
        "date_modified": stamp(one.updated),
        "instance_count": len(store.machines_behind(one)),
        "rule_count": len(one.attributes["rules"]),
        "max_rule_count": 50,
    }


def regions() -> list[Shape]:
    """The regions."""
    return [
        {
            "id": name,
            "city": city,
            "country": country,
            "continent": continent,
            "options": ["ddos_protection", "kubernetes"],
        }
        for name, (city, country, continent) in catalogue.VULTR_REGIONS.items()
    ]


def plans() -> list[Shape]:
    """The machine types."""
    return [
        {
            "id": name,
            "vcpu_count": size.cpus,
            "ram": size.memory_mib,
            "disk": size.disk_mib // 1024,
            "disk_count": 1,
            "bandwidth": size.transfer,
            "monthly_cost": size.monthly,
            "hourly_cost": size.hourly,
            "type": size.label,
            "locations": list(catalogue.VULTR_REGIONS),
        }
        for name, size in catalogue.VULTR_PLANS.items()
    ]


def images() -> list[Shape]:
    """The operating systems."""
    return [
        {"id": number, "name": name, "arch": "x64", "family": family}
        for number, (name, family) in catalogue.VULTR_IMAGES.items()
    ]
