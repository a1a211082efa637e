"""What the vendors say that their regions can do, and what does not fit: asked before anything is made.

Vendors are asked where their token is in the environment: without it nothing could be made either, unless it is
configured with the vendor's own plugin, and then the vendor itself refuses.
"""

import difflib
import functools
import typing
from collections.abc import Iterator

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from components.cloud_table import CLOUDS
from components.cloudinit import Bootstrap, render
from components.fleet_settings import FleetSettings
from components.vendors import VendorError, public, vendor
from components.vendors.api import Api

Faults = tuple[tuple[str, str], ...]

_SHOWN = 8
_METADATA, _NETWORKS, _ENCRYPTION = "Metadata", "VPCs", ("Disk Encryption", "LA Disk Encryption")


def linode_faults(fleet: FleetSettings) -> Faults:
    """Regions that there are not, hand over no user-data, or have no private networks."""
    return (*_too_large(fleet), *_regions("linode", fleet, _linode_fault))


def linode_notices(fleet: FleetSettings) -> tuple[str, ...]:
    """Regions that encrypt no disks."""
    bare = [region for region in _used(fleet) if not linode_encrypts(region)]
    if not bare:
        return ()
    where = f"{fleet.name}: linode encrypts no disks in {', '.join(bare)}"
    return (f"{where}; what nodes write is readable by whoever has the disk",)


def linode_encrypts(region: str) -> bool:
    """Whether a region encrypts disks; one that nobody could ask about is taken to, and refuses if it does not."""
    offered = (_offered("linode") or {}).get(region)
    return offered is None or bool(offered & set(_ENCRYPTION))


def vultr_faults(fleet: FleetSettings) -> Faults:
    """Regions that there are not."""
    return (*_too_large(fleet), *_regions("vultr", fleet, lambda _fleet, _offered: ""))


def _linode_fault(fleet: FleetSettings, offered: frozenset[str]) -> str:
    if _METADATA not in offered:
        return "hands over no user-data, without which no node can be enrolled"
    if fleet.private_network and _NETWORKS not in offered:
        return "has no private networks"
    return ""


def _regions(
    cloud: str, fleet: FleetSettings, fault: typing.Callable[[FleetSettings, frozenset[str]], str]
) -> Iterator[tuple[str, str]]:
    offered = _offered(cloud)
    if offered is None:
        return
    able = sorted(region for region, words in offered.items() if not fault(fleet, words))
    for index, region in enumerate(fleet.regions):
        if region not in offered:
            yield f"regions[{index}]", f"{cloud} has no region {region}; {_some(able, region)} would be"
        elif reason := fault(fleet, offered[region]):
            yield f"regions[{index}]", f"{cloud}'s region {region} {reason}; {_some(able, region)} would be right"


def _some(regions: list[str], like: str) -> str:
    near = difflib.get_close_matches(like, regions)
    shown = ", ".join([*near, *(region for region in regions if region not in near)][:_SHOWN])
    return f"{shown}, …" if len(regions) > _SHOWN else shown or "none"


def _used(fleet: FleetSettings) -> list[str]:
    return list(dict.fromkeys(fleet.region(index) for index in range(1, fleet.nodes + 1)))


@functools.cache
def _offered(cloud: str) -> dict[str, frozenset[str]] | None:
    """Region to what it offers, in the vendor's words; None where the vendor could not be asked."""
    if vendor(cloud) is None:
        return None
    api = public(cloud)
    if not isinstance(api, Api):
        return None
    size, key, words = (
        ("page_size", "data", "capabilities") if cloud == "linode" else ("per_page", "regions", "options")
    )
    try:
        answer, _ = api.ask_once(f"regions?{size}=500")
    except VendorError:
        # The vendor is asked again, by its own plugin, before anything is made; what it then says is shown.
        return None
    return {entry["id"]: frozenset(entry.get(words) or ()) for entry in answer.get(key) or ()}


def _too_large(fleet: FleetSettings) -> Iterator[tuple[str, str]]:
    limit = CLOUDS[fleet.cloud].user_data_limit_bytes
    size = _user_data_bytes()
    if limit and size > limit:
        yield "cloud", f"user-data has {size} bytes, and {fleet.cloud} takes {limit}"


@functools.cache
def _user_data_bytes() -> int:
    """How large every machine's user-data is: keys of one kind are all of one size."""
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()
    form = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    public_key = key.public_key().public_bytes(*form).decode()
    authority = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*form).decode()
    return len(render(Bootstrap(private, public_key, public_key, authority)).encode())
