"""What Linode accepts: orders of instances and firewalls, checked as the vendor checks them. Pure."""

import base64
import binascii
import ipaddress
import itertools
import re
import typing
from collections.abc import Iterable, Mapping

from tasks.rehearsal import catalogue
from tasks.rehearsal.store import ApiError, Order, Store

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_DOUBLED = re.compile(r"--|__|\.\.")
_RULE_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{2,31}")
_PORTS = re.compile(r"[0-9]{1,5}(?:-[0-9]{1,5})?(?:, ?[0-9]{1,5}(?:-[0-9]{1,5})?)*")
_POLICIES = ("ACCEPT", "DROP")
_PROTOCOLS = ("TCP", "UDP", "ICMP", "IPENCAP")
_PURPOSES = ("public", "vlan", "vpc")
_RULES_LIMIT = 25
INSTANCE_LABEL = range(3, 65)
FIREWALL_LABEL = range(3, 33)
_TAG = range(3, 51)

Body = Mapping[str, typing.Any]


def instance(store: Store, wanted: Body) -> Order:
    """Check an order of an instance; raise ApiError with the first thing that is wrong."""
    region = _one_of(wanted, "region", catalogue.LINODE_REGIONS)
    machine_type = _one_of(wanted, "type", catalogue.LINODE_TYPES)
    image = str(wanted.get("image") or "")
    if image:
        if image not in catalogue.LINODE_IMAGES:
            raise ApiError(400, "image is not valid", field="image")
        if not any(wanted.get(key) for key in ("root_pass", "authorized_keys", "authorized_users")):
            raise ApiError(400, "root_pass is required", field="root_pass")
    name = str(wanted.get("label") or "")
    if name:
        label(name, INSTANCE_LABEL, (one.label for one in store.instances("linode")), "linodes")
    firewall = wanted.get("firewall_id")
    if firewall is not None and str(firewall) not in store.firewalls:
        raise ApiError(400, "firewall_id is not valid", field="firewall_id")
    bare = region in catalogue.LINODE_WITHOUT["Disk Encryption"]
    if wanted.get("disk_encryption") == "enabled" and bare:
        raise ApiError(400, "Disk encryption is not supported in this region", field="disk_encryption")
    return Order(
        vendor="linode",
        label=name,
        tags=tags(wanted),
        region=region,
        type=machine_type,
        image=image,
        firewall="" if firewall is None else str(firewall),
        user_data=_user_data(wanted, region),
        attributes={
            "backups_enabled": bool(wanted.get("backups_enabled")),
            "disk_encryption": wanted.get("disk_encryption") or ("disabled" if bare else "enabled"),
            "interface_generation": wanted.get("interface_generation") or "legacy_config",
            "swap_size": int(wanted.get("swap_size") or 512) if image else 0,
            "private_ip": bool(wanted.get("private_ip")),
            "interfaces": interfaces(store, wanted, region),
        },
    )


def label(text: str, lengths: range, others: Iterable[str], what: str) -> None:
    """Check a label; raise ApiError."""
    if len(text) not in lengths:
        raise ApiError(400, f"Length must be {lengths.start}-{lengths.stop - 1} characters", field="label")
    if not _LABEL.fullmatch(text) or _DOUBLED.search(text):
        raise ApiError(
            400, "Must only use ASCII letters, numbers, underscores, periods, and dashes, none doubled", field="label"
        )
    if text in set(others):
        raise ApiError(400, f"Label must be unique among your {what}", field="label")


def tags(wanted: Body) -> list[str]:
    """Check tags; raise ApiError."""
    found = list(wanted.get("tags") or ())
    if any(not isinstance(tag, str) or len(tag) not in _TAG for tag in found):
        raise ApiError(400, "Length must be 3-50 characters", field="tags")
    return sorted(set(found))


def rules(wanted: Body) -> dict[str, typing.Any]:
    """Check a firewall's whole set of rules; raise ApiError."""
    checked: dict[str, typing.Any] = {}
    for direction in ("inbound", "outbound"):
        policy = wanted.get(f"{direction}_policy")
        if policy not in _POLICIES:
            raise ApiError(400, "Must be one of ACCEPT, DROP", field=f"rules.{direction}_policy")
        entries = wanted.get(direction) or []
        if len(entries) > _RULES_LIMIT:
            raise ApiError(400, f"At most {_RULES_LIMIT} rules are allowed", field=f"rules.{direction}")
        checked[direction] = [_rule(entry, f"rules.{direction}[{index}]") for index, entry in enumerate(entries)]
        checked[f"{direction}_policy"] = policy
    return checked


def _rule(entry: Body, field: str) -> dict[str, typing.Any]:
    if entry.get("action") not in _POLICIES:
        raise ApiError(400, "Must be one of ACCEPT, DROP", field=f"{field}.action")
    if entry.get("protocol") not in _PROTOCOLS:
        raise ApiError(400, f"Must be one of {', '.join(_PROTOCOLS)}", field=f"{field}.protocol")
    name = entry.get("label")
    if name is not None and not _RULE_LABEL.fullmatch(str(name)):
        raise ApiError(400, "Must begin with a letter and be 3-32 characters", field=f"{field}.label")
    ports = entry.get("ports")
    if ports is not None and not _PORTS.fullmatch(str(ports)):
        raise ApiError(400, "Ports are not valid", field=f"{field}.ports")
    addresses = entry.get("addresses") or {}
    for family, network in (("ipv4", ipaddress.IPv4Network), ("ipv6", ipaddress.IPv6Network)):
        for text in addresses.get(family) or ():
            try:
                network(text)
            except ValueError:
                raise ApiError(400, f"Must be an {family} network", field=f"{field}.addresses.{family}") from None
    kept = {key: entry[key] for key in ("action", "protocol", "ports", "label", "description") if entry.get(key)}
    return {**kept, "addresses": {family: list(found) for family, found in addresses.items() if found}}


def interfaces(store: Store, wanted: Body, region: str) -> list[dict[str, typing.Any]]:
    """What an instance is connected to; none are asked for when it is the public network alone. Raise ApiError."""
    found = []
    for index, entry in enumerate(wanted.get("interfaces") or ()):
        field = f"interfaces[{index}]"
        purpose = entry.get("purpose")
        if purpose not in _PURPOSES:
            raise ApiError(400, f"Must be one of {', '.join(_PURPOSES)}", field=f"{field}.purpose")
        shown = {
            "id": store.number(),
            "purpose": purpose,
            "active": True,
            "primary": bool(entry.get("primary")),
            "label": entry.get("label") or None,
            "ipam_address": entry.get("ipam_address") or None,
            "ip_ranges": list(entry.get("ip_ranges") or ()),
            "vpc_id": None,
            "subnet_id": None,
        }
        if purpose == "vpc":
            subnet = store.kind("linode", "subnets").get(str(entry.get("subnet_id")))
            if subnet is None:
                raise ApiError(400, "subnet_id is not valid", field=f"{field}.subnet_id")
            if store.kind("linode", "vpcs")[str(subnet["vpc"])]["region"] != region:
                raise ApiError(400, "The VPC is in another region", field=f"{field}.subnet_id")
            given = entry.get("ipv4") or {}
            address = given.get("vpc") or _free_address(store, subnet)
            shown |= {"vpc_id": subnet["vpc"], "subnet_id": subnet["id"]}
            shown["ipv4"] = {"vpc": address, "nat_1_1": given.get("nat_1_1") or ""}
        found.append(shown)
    return found


def _free_address(store: Store, subnet: Mapping[str, typing.Any]) -> str:
    """The first one of a subnet that no instance has."""
    taken = {
        each["ipv4"]["vpc"]
        for one in store.instances("linode")
        for each in one.attributes["interfaces"]
        if each["subnet_id"] == subnet["id"]
    }
    # The vendor keeps the first one for its gateway.
    for address in itertools.islice(ipaddress.IPv4Network(subnet["ipv4"]).hosts(), 1, None):
        if str(address) not in taken:
            return str(address)
    raise ApiError(400, "The subnet has no free address")


def _one_of(wanted: Body, key: str, known: Iterable[str]) -> str:
    value = wanted.get(key)
    if not value:
        raise ApiError(400, f"{key} is required", field=key)
    if value not in set(known):
        raise ApiError(400, f"{key} is not valid", field=key)
    return str(value)


def _user_data(wanted: Body, region: str) -> str:
    encoded = (wanted.get("metadata") or {}).get("user_data")
    if not encoded:
        return ""
    field = "metadata.user_data"
    if region in catalogue.LINODE_WITHOUT["Metadata"]:
        raise ApiError(400, "Metadata is not available in this region", field=field)
    try:
        decoded = base64.b64decode(encoded, validate=True)
        text = decoded.decode()
    except (binascii.Error, ValueError):
        raise ApiError(400, "Must be base64-encoded", field=field) from None
    limit = catalogue.USER_DATA_LIMIT_BYTES["linode"]
    if len(decoded) > limit:
        raise ApiError(400, f"Decoded user data must not exceed {limit} bytes", field=field)
    return text
