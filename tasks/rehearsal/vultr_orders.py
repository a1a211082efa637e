"""What Vultr accepts: orders of instances and firewall rules, checked as the vendor checks them. Pure."""

import base64
import binascii
import ipaddress
import re
import typing
from collections.abc import Mapping

from tasks.rehearsal import catalogue
from tasks.rehearsal.store import ApiError, Firewall, Instance, Order, Store

_SOURCES = ("os_id", "app_id", "image_id", "iso_id", "snapshot_id")
_PROTOCOLS = ("icmp", "tcp", "udp", "gre", "esp", "ah")
_PORTS = re.compile(r"[0-9]{1,5}(?:[:-][0-9]{1,5})?")
_WIDTHS = {"v4": 32, "v6": 128}
FEATURES = {"ddos_protection": "ddos_protection", "ipv6": "enable_ipv6"}
"""What an instance shows as a feature, and what asks for it."""

Body = Mapping[str, typing.Any]


def instance(store: Store, wanted: Body) -> Order:
    """Check an order of an instance; raise ApiError with the first thing that is wrong."""
    if wanted.get("region") not in catalogue.VULTR_REGIONS:
        raise ApiError(400, "Invalid region.")
    if wanted.get("plan") not in catalogue.VULTR_PLANS:
        raise ApiError(400, "Invalid plan.")
    if sum(bool(wanted.get(key)) for key in _SOURCES) != 1:
        raise ApiError(400, "One of the following fields is required: os_id, snapshot_id, iso_id, image_id, app_id.")
    image = wanted.get("os_id")
    if image not in catalogue.VULTR_IMAGES:
        raise ApiError(400, "Invalid os_id.")
    firewall = str(wanted.get("firewall_group_id") or "")
    if firewall:
        group(store, firewall)
    networks = list(wanted.get("attach_vpc") or ())
    for network in networks:
        if network not in store.kind("vultr", "vpcs"):
            raise ApiError(404, "Invalid VPC ID")
    for key in wanted.get("sshkey_id") or ():
        if key not in store.kind("vultr", "sshkeys"):
            raise ApiError(404, "Invalid ssh key")
    label = str(wanted.get("label") or "")
    features = [feature for feature, key in FEATURES.items() if wanted.get(key)]
    return Order(
        vendor="vultr",
        label=label,
        tags=[str(tag) for tag in wanted.get("tags") or ()],
        region=wanted["region"],
        type=wanted["plan"],
        image=str(image),
        firewall=firewall,
        user_data=_user_data(wanted),
        attributes={
            "hostname": wanted.get("hostname") or label or "vultr.guest",
            "user_scheme": wanted.get("user_scheme") or "root",
            "backups": wanted.get("backups") == "enabled",
            "features": features,
            "vpcs": networks,
        },
    )


def resize(instance: Instance, wanted: Body) -> None:
    """Give an instance another plan or other features; raise ApiError."""
    if wanted.get("plan"):
        if wanted["plan"] not in catalogue.VULTR_PLANS:
            raise ApiError(400, "Invalid plan.")
        instance.type = wanted["plan"]
    features = set(instance.attributes["features"])
    for feature, key in FEATURES.items():
        if wanted.get(key) is not None:
            features = features | {feature} if wanted[key] else features - {feature}
    instance.attributes["features"] = sorted(features)


def group(store: Store, number: str) -> Firewall:
    """The firewall group; raise ApiError."""
    found = store.firewalls.get(number)
    if found is None or found.vendor != "vultr":
        raise ApiError(404, "Firewall group ID not found")
    return found


def rule(wanted: Body) -> dict[str, typing.Any]:
    """Check a rule; raise ApiError."""
    family = wanted.get("ip_type") or wanted.get("type")
    if family not in _WIDTHS:
        raise ApiError(400, "Invalid ip_type. Must be v4 or v6.")
    protocol = str(wanted.get("protocol", "")).lower()
    if protocol not in _PROTOCOLS:
        raise ApiError(400, "Invalid protocol.")
    port = str(wanted.get("port") or "")
    if protocol in {"tcp", "udp"} and not _PORTS.fullmatch(port):
        raise ApiError(400, "Invalid port.")
    size = wanted.get("subnet_size")
    if not isinstance(size, int) or not 0 <= size <= _WIDTHS[family]:
        raise ApiError(400, "Invalid subnet_size.")
    try:
        network = ipaddress.ip_network(f"{wanted.get('subnet', '')}/{size}")
    except ValueError:
        raise ApiError(400, "Invalid subnet.") from None
    if f"v{network.version}" != family:
        raise ApiError(400, "Invalid subnet.")
    return {
        "ip_type": family,
        "type": family,
        "action": "accept",
        "protocol": protocol,
        "port": port,
        "subnet": str(network.network_address),
        "subnet_size": size,
        "source": str(wanted.get("source") or ""),
        "notes": str(wanted.get("notes") or ""),
    }


def _user_data(wanted: Body) -> str:
    encoded = wanted.get("user_data")
    if not encoded:
        return ""
    try:
        decoded = base64.b64decode(encoded, validate=True)
        text = decoded.decode()
    except (binascii.Error, ValueError):
        raise ApiError(400, "Invalid user_data. Must be base64 encoded.") from None
    if len(decoded) > catalogue.USER_DATA_LIMIT_BYTES["vultr"]:
        raise ApiError(400, "Invalid user_data. Too large.")
    return text
