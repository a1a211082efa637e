"""Linode's answers, from what there is. Pure."""

import datetime as dt
import hashlib
import typing

from tasks.rehearsal import catalogue
from tasks.rehearsal.store import Event, Firewall, Instance, Store

Shape = dict[str, typing.Any]

_ALERTS = {"cpu": 90, "io": 10000, "network_in": 10, "network_out": 10, "transfer_quota": 80}
_HELPERS = {
    "updatedb_disabled": True,
    "distro": True,
    "modules_dep": True,
    "network": True,
    "devtmpfs_automount": True,
}
_CAPABILITIES = (
    "Linodes",
    "Block Storage",
    "Backups",
    "Cloud Firewall",
    "Disk Encryption",
    "Metadata",
    "Vlans",
    "VPCs",
)


def stamp(moment: float) -> str:
    """A time as Linode writes it: UTC, and it does not say so."""
    return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")


def instance(one: Instance, now: float) -> Shape:
    """An instance."""
    size = catalogue.LINODE_TYPES[one.type]
    return {
        "id": int(one.id),
        "label": one.label,
        "group": one.attributes.get("group", ""),
        "status": "offline" if one.attributes.get("off") and one.gone_at is None else one.phase(now),
        "created": stamp(one.created),
        "updated": stamp(one.updated),
        "type": one.type,
        "ipv4": [one.address, *_private(one)],
        "ipv6": "2001:db8::/128",
        "image": one.image or None,
        "region": one.region,
        "specs": {
            "disk": size.disk_mib,
            "memory": size.memory_mib,
            "vcpus": size.cpus,
            "gpus": 0,
            "accelerated_devices": 0,
            "transfer": size.transfer,
        },
        "alerts": {**_ALERTS, **one.attributes.get("alerts", {})},
        "backups": {
            "enabled": one.attributes["backups_enabled"],
            "available": False,
            "schedule": {"day": None, "window": None},
            "last_successful": None,
        },
        "hypervisor": "kvm",
        "watchdog_enabled": one.attributes.get("watchdog_enabled", True),
        "tags": sorted(one.tags),
        "host_uuid": hashlib.sha256(one.id.encode()).hexdigest()[:40],
        "has_user_data": bool(one.user_data),
        "placement_group": None,
        "disk_encryption": one.attributes["disk_encryption"],
        "lke_cluster_id": None,
        "capabilities": [],
        "locks": [],
        "interface_generation": one.attributes["interface_generation"],
        "maintenance_policy": one.attributes.get("maintenance_policy", "linode/migrate"),
    }


def addresses(one: Instance) -> Shape:
    """Its addresses."""
    public = {
        "address": one.address,
        "gateway": "127.0.0.1",
        "subnet_mask": "255.255.255.0",
        "prefix": 24,
        "type": "ipv4",
        "public": True,
        "rdns": None,
        "linode_id": int(one.id),
        "region": one.region,
        "vpc_nat_1_1": None,
        "reserved": False,
    }
    private = [{**public, "address": address, "public": False} for address in _private(one)]
    slaac = {
        "address": "2001:db8::1",
        "gateway": "fe80::1",
        "subnet_mask": "ffff:ffff:ffff:ffff::",
        "prefix": 64,
        "type": "ipv6",
        "public": True,
        "rdns": None,
        "linode_id": int(one.id),
        "region": one.region,
    }
    return {
        "ipv4": {"public": [public], "private": private, "shared": [], "reserved": [], "vpc": []},
        "ipv6": {"slaac": slaac, "link_local": {**slaac, "address": "fe80::2", "public": False}, "global": []},
    }


def _private(one: Instance) -> list[str]:
    """Its address in the data centre, if it has one; nothing listens there."""
    return [f"192.168.{128 + one.slot // 250}.{1 + one.slot % 250}"] if one.attributes["private_ip"] else []


def disk(one: Instance) -> Shape:
    """Its only disk."""
    return {
        "id": int(one.id) + 100_000_000,
        "label": "Disk",
        "status": "ready",
        "size": catalogue.LINODE_TYPES[one.type].disk_mib - one.attributes["swap_size"],
        "filesystem": "ext4",
        "created": stamp(one.created),
        "updated": stamp(one.created),
        "disk_encryption": one.attributes["disk_encryption"],
    }


def config(one: Instance) -> Shape:
    """Its only configuration profile."""
    empty = dict.fromkeys((f"sd{letter}" for letter in "bcdefgh"), None)
    return {
        "id": int(one.id) + 200_000_000,
        "label": "My Debian Disk Profile",
        "comments": "",
        "kernel": "linode/grub2",
        "memory_limit": 0,
        "run_level": "default",
        "virt_mode": "paravirt",
        "init_rd": None,
        "root_device": "/dev/sda",
        "interfaces": one.attributes["interfaces"],
        "helpers": dict(_HELPERS),
        "devices": {"sda": {"disk_id": int(one.id) + 100_000_000, "volume_id": None}, **empty},
        "created": stamp(one.created),
        "updated": stamp(one.created),
        **one.attributes.get("config", {}),
    }


def firewall(one: Firewall, store: Store) -> Shape:
    """A firewall."""
    return {
        "id": int(one.id),
        "label": one.label,
        "status": one.attributes["status"],
        "created": stamp(one.created),
        "updated": stamp(one.updated),
        "tags": sorted(one.tags),
        "rules": one.attributes["rules"],
        "entities": [device["entity"] for device in devices(one, store)],
    }


def devices(one: Firewall, store: Store) -> list[Shape]:
    """What a firewall protects."""
    return [
        {
            "id": int(machine.attributes["device"]),
            "created": stamp(one.created),
            "updated": stamp(one.updated),
            "entity": {
                "id": int(machine.id),
                "type": "linode",
                "label": machine.label,
                "url": f"/v4/linode/instances/{machine.id}",
                "parent_entity": None,
            },
        }
        for machine in store.machines_behind(one)
    ]


def event(one: Event, now: float) -> Shape:
    """An event."""
    done = now >= one.finished_at
    return {
        "id": one.id,
        "action": one.action,
        "created": stamp(one.created),
        "duration": 1.0 if done else None,
        "entity": {
            "id": int(one.entity),
            "label": one.label,
            "type": "linode",
            "url": f"/v4/linode/instances/{one.entity}",
        },
        "secondary_entity": None,
        "message": "",
        "percent_complete": 100 if done else 50,
        "rate": None,
        "read": False,
        "seen": False,
        "status": "finished" if done else "started",
        "time_remaining": None,
        "username": "rehearsal",
    }


def regions() -> list[Shape]:
    """The regions."""
    return [
        {
            "id": name,
            "label": label,
            "country": country,
            "capabilities": [
                word for word in _CAPABILITIES if name not in catalogue.LINODE_WITHOUT.get(word, frozenset())
            ],
            "status": "ok",
            "site_type": "core",
            "resolvers": {"ipv4": "192.0.2.53", "ipv6": "2001:db8::53"},
            "placement_group_limits": {"maximum_pgs_per_customer": 100, "maximum_linodes_per_pg": 5},
        }
        for name, (country, label) in catalogue.LINODE_REGIONS.items()
    ]


def types() -> list[Shape]:
    """The machine types."""
    return [
        {
            "id": name,
            "label": size.label,
            "class": name.split("-")[1],
            "disk": size.disk_mib,
            "memory": size.memory_mib,
            "vcpus": size.cpus,
            "gpus": int("-gpu-" in name),
            "accelerated_devices": 0,
            "network_out": 1000,
            "transfer": size.transfer,
            "price": {"hourly": size.hourly, "monthly": size.monthly},
            "region_prices": [
                {"id": region, "hourly": round(size.hourly * factor, 4), "monthly": round(size.monthly * factor, 2)}
                for region, factor in catalogue.LINODE_DEARER.items()
            ],
            "addons": {"backups": {"price": {"hourly": 0.003, "monthly": 2.0}, "region_prices": []}},
            "successor": None,
        }
        for name, size in catalogue.LINODE_TYPES.items()
    ]


def images() -> list[Shape]:
    """The images."""
    return [
        {
            "id": name,
            "label": label,
            "vendor": label.split()[0],
            "capabilities": ["cloud-init"],
            "created": "2025-08-12T10:00:00",
            "updated": "2026-08-12T10:00:00",
            "created_by": "linode",
            "deprecated": False,
            "description": "",
            "eol": None,
            "expiry": None,
            "is_public": True,
            "size": 1800,
            "status": "available",
            "type": "manual",
            "tags": [],
            "regions": [],
            "total_size": 1800,
        }
        for name, label in catalogue.LINODE_IMAGES.items()
    ]
