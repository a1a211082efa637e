"""What the rehearsed vendors offer: regions, types, images, and limits. A selection; the real lists are longer."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """A machine type."""

    label: str
    memory_mib: int
    disk_mib: int
    cpus: int
    transfer: int
    hourly: float
    monthly: float


LINODE_REGIONS: dict[str, tuple[str, str]] = {
    "nl-ams": ("nl", "Amsterdam, NL"),
    "de-fra-2": ("de", "Frankfurt 2, DE"),
    "fr-par": ("fr", "Paris, FR"),
    "se-sto": ("se", "Stockholm, SE"),
    "us-ord": ("us", "Chicago, IL"),
    "us-east": ("us", "Newark, NJ"),
    "ap-west": ("in", "Mumbai, IN"),
    "ap-southeast": ("au", "Sydney, AU"),
}
LINODE_WITHOUT = {
    "Metadata": frozenset({"ap-west"}),
    "VPCs": frozenset({"ap-west", "ap-southeast"}),
    "Disk Encryption": frozenset({"ap-west", "ap-southeast"}),
}
"""Capability to the regions that lack it."""
LINODE_DEARER = {"id-cgk": 1.2, "br-gru": 1.4}
"""Regions where each type costs more, by factor."""
LINODE_TYPES = {
    "g6-nanode-1": Size("Nanode 1GB", 1024, 25600, 1, 1000, 0.0075, 5.0),
    "g6-standard-1": Size("Linode 2GB", 2048, 51200, 1, 2000, 0.018, 12.0),
    "g6-standard-2": Size("Linode 4GB", 4096, 81920, 2, 4000, 0.036, 24.0),
    "g6-standard-4": Size("Linode 8GB", 8192, 163840, 4, 5000, 0.072, 48.0),
    "g6-standard-6": Size("Linode 16GB", 16384, 327680, 6, 8000, 0.144, 96.0),
    "g6-dedicated-2": Size("Dedicated 4GB", 4096, 81920, 2, 4000, 0.054, 36.0),
}
LINODE_IMAGES = {
    "linode/debian12": "Debian 12",
    "linode/debian13": "Debian 13",
    "linode/ubuntu24.04": "Ubuntu 24.04 LTS",
}

VULTR_REGIONS: dict[str, tuple[str, str, str]] = {
    "ams": ("Amsterdam", "NL", "Europe"),
    "fra": ("Frankfurt", "DE", "Europe"),
    "cdg": ("Paris", "FR", "Europe"),
    "sto": ("Stockholm", "SE", "Europe"),
    "ewr": ("New Jersey", "US", "North America"),
    "ord": ("Chicago", "US", "North America"),
}
VULTR_PLANS = {
    "vc2-1c-1gb": Size("vc2", 1024, 25600, 1, 1024, 0.007, 5.0),
    "vc2-1c-2gb": Size("vc2", 2048, 56320, 1, 2048, 0.015, 10.0),
    "vc2-2c-4gb": Size("vc2", 4096, 81920, 2, 3072, 0.030, 20.0),
    "vc2-4c-8gb": Size("vc2", 8192, 163840, 4, 4096, 0.060, 40.0),
    "vhf-1c-1gb": Size("vhf", 1024, 32768, 1, 1024, 0.009, 6.0),
}
VULTR_IMAGES = {
    2136: ("Debian 12 x64 (bookworm)", "debian"),
    2625: ("Debian 13 x64 (trixie)", "debian"),
    2284: ("Ubuntu 24.04 LTS x64", "ubuntu"),
}

USER_DATA_LIMIT_BYTES = {"linode": 16384, "vultr": 64 * 1024}
