"""What the rehearsed vendors offer: regions, types, images, and limits.

Every type that has a price in policy/prices.json; of images a selection, of which the real lists are longer.
"""

import dataclasses
import math


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
    "eu-central": ("de", "Frankfurt, DE"),
    "fr-par": ("fr", "Paris, FR"),
    "se-sto": ("se", "Stockholm, SE"),
    "es-mad": ("es", "Madrid, ES"),
    "it-mil": ("it", "Milan, IT"),
    "eu-west": ("gb", "London, UK"),
    "gb-lon": ("gb", "London 2, UK"),
    "us-ord": ("us", "Chicago, IL"),
    "us-east": ("us", "Newark, NJ"),
    "us-iad": ("us", "Washington, DC"),
    "us-southeast": ("us", "Atlanta, GA"),
    "us-mia": ("us", "Miami, FL"),
    "us-central": ("us", "Dallas, TX"),
    "us-west": ("us", "Fremont, CA"),
    "us-lax": ("us", "Los Angeles, CA"),
    "us-sea": ("us", "Seattle, WA"),
    "ca-central": ("ca", "Toronto, CA"),
    "br-gru": ("br", "Sao Paulo, BR"),
    "ap-south": ("sg", "Singapore, SG"),
    "sg-sin-2": ("sg", "Singapore 2, SG"),
    "id-cgk": ("id", "Jakarta, ID"),
    "ap-northeast": ("jp", "Tokyo 2, JP"),
    "jp-tyo-3": ("jp", "Tokyo 3, JP"),
    "jp-osa": ("jp", "Osaka, JP"),
    "ap-west": ("in", "Mumbai, IN"),
    "in-bom-2": ("in", "Mumbai 2, IN"),
    "in-maa": ("in", "Chennai, IN"),
    "ap-southeast": ("au", "Sydney, AU"),
    "au-mel": ("au", "Melbourne, AU"),
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
    "g6-standard-8": Size("Linode 32GB", 32768, 655360, 8, 16000, 0.288, 192.0),
    "g6-standard-16": Size("Linode 64GB", 65536, 1310720, 16, 20000, 0.576, 384.0),
    "g6-standard-20": Size("Linode 96GB", 98304, 1966080, 20, 20000, 0.864, 576.0),
    "g6-standard-24": Size("Linode 128GB", 131072, 2621440, 24, 20000, 1.152, 768.0),
    "g6-standard-32": Size("Linode 192GB", 196608, 3932160, 32, 20000, 1.728, 1152.0),
    "g6-dedicated-2": Size("Dedicated 4GB", 4096, 81920, 2, 4000, 0.054, 36.0),
    "g6-dedicated-4": Size("Dedicated 8GB", 8192, 163840, 4, 5000, 0.108, 72.0),
    "g6-dedicated-8": Size("Dedicated 16GB", 16384, 327680, 8, 6000, 0.216, 144.0),
    "g6-dedicated-16": Size("Dedicated 32GB", 32768, 655360, 16, 7000, 0.432, 288.0),
    "g6-dedicated-32": Size("Dedicated 64GB", 65536, 1310720, 32, 8000, 0.864, 576.0),
    "g6-dedicated-48": Size("Dedicated 96GB", 98304, 1966080, 48, 9000, 1.296, 864.0),
    "g6-dedicated-50": Size("Dedicated 128GB", 131072, 2560000, 50, 10000, 1.728, 1152.0),
    "g6-dedicated-56": Size("Dedicated 256GB", 262144, 5120000, 56, 11000, 3.456, 2304.0),
    "g6-dedicated-64": Size("Dedicated 512GB", 524288, 7372800, 64, 12000, 6.912, 4608.0),
    "g7-highmem-1": Size("Linode 24GB", 24576, 20480, 2, 5000, 0.09, 60.0),
    "g7-highmem-2": Size("Linode 48GB", 49152, 40960, 2, 6000, 0.18, 120.0),
    "g7-highmem-4": Size("Linode 90GB", 92160, 92160, 4, 7000, 0.36, 240.0),
    "g7-highmem-8": Size("Linode 150GB", 153600, 204800, 8, 8000, 0.72, 480.0),
    "g7-highmem-16": Size("Linode 300GB", 307200, 348160, 16, 9000, 1.44, 960.0),
    "g7-premium-2": Size("Premium 4GB", 4096, 81920, 2, 4000, 0.0645, 43.0),
    "g7-premium-4": Size("Premium 8GB", 8192, 163840, 4, 5000, 0.129, 86.0),
    "g7-premium-8": Size("Premium 16GB", 16384, 327680, 8, 6000, 0.2595, 173.0),
    "g7-premium-16": Size("Premium 32GB", 32768, 655360, 16, 7000, 0.519, 346.0),
    "g7-premium-32": Size("Premium 64GB", 65536, 1310720, 32, 8000, 1.0365, 691.0),
    "g7-premium-48": Size("Premium 96GB", 98304, 1966080, 48, 9000, 1.5555, 1037.0),
    "g7-premium-50": Size("Premium 128GB", 131072, 2560000, 50, 10000, 2.073, 1382.0),
    "g7-premium-56": Size("Premium 256GB", 262144, 5120000, 56, 11000, 4.1475, 2765.0),
    "g2-gpu-rtx4000a1-s": Size("RTX4000 Ada x1 Small", 16384, 524288, 4, 0, 0.52, 350.0),
    "g2-gpu-rtx4000a1-m": Size("RTX4000 Ada x1 Medium", 32768, 524288, 8, 0, 0.67, 446.0),
    "g2-gpu-rtx4000a1-l": Size("RTX4000 Ada x1 Large", 65536, 524288, 16, 0, 0.96, 638.0),
    "g2-gpu-rtx4000a1-xl": Size("RTX4000 Ada x1 X-Large", 131072, 524288, 32, 0, 1.53, 1022.0),
}
LINODE_IMAGES = {
    "linode/debian12": "Debian 12",
    "linode/debian13": "Debian 13",
    "linode/ubuntu24.04": "Ubuntu 24.04 LTS",
    "linode/ubuntu22.04": "Ubuntu 22.04 LTS",
}

VULTR_REGIONS: dict[str, tuple[str, str, str]] = {
    "ams": ("Amsterdam", "NL", "Europe"),
    "fra": ("Frankfurt", "DE", "Europe"),
    "cdg": ("Paris", "FR", "Europe"),
    "sto": ("Stockholm", "SE", "Europe"),
    "lhr": ("London", "GB", "Europe"),
    "mad": ("Madrid", "ES", "Europe"),
    "man": ("Manchester", "GB", "Europe"),
    "waw": ("Warsaw", "PL", "Europe"),
    "ewr": ("New Jersey", "US", "North America"),
    "ord": ("Chicago", "US", "North America"),
    "atl": ("Atlanta", "US", "North America"),
    "dfw": ("Dallas", "US", "North America"),
    "hnl": ("Honolulu", "US", "North America"),
    "lax": ("Los Angeles", "US", "North America"),
    "mex": ("Mexico City", "MX", "North America"),
    "mia": ("Miami", "US", "North America"),
    "sea": ("Seattle", "US", "North America"),
    "sjc": ("Silicon Valley", "US", "North America"),
    "yto": ("Toronto", "CA", "North America"),
    "sao": ("São Paulo", "BR", "South America"),
    "scl": ("Santiago", "CL", "South America"),
    "blr": ("Bangalore", "IN", "Asia"),
    "bom": ("Mumbai", "IN", "Asia"),
    "del": ("Delhi NCR", "IN", "Asia"),
    "icn": ("Seoul", "KR", "Asia"),
    "itm": ("Osaka", "JP", "Asia"),
    "nrt": ("Tokyo", "JP", "Asia"),
    "sgp": ("Singapore", "SG", "Asia"),
    "tlv": ("Tel Aviv", "IL", "Asia"),
    "jnb": ("Johannesburg", "ZA", "Africa"),
    "mel": ("Melbourne", "AU", "Australia"),
    "syd": ("Sydney", "AU", "Australia"),
}


def _plan(cpus: int, memory_gib: int, disk_gb: int, monthly: float) -> Size:
    # An hour is a 672nd of a month, rounded up to a tenth of a cent.
    return Size("", memory_gib * 1024, disk_gb * 1024, cpus, 1024 * cpus, math.ceil(monthly / 0.672) / 1000, monthly)


_VC2 = {
    "1c-1gb": _plan(1, 1, 25, 5.0),
    "1c-2gb": _plan(1, 2, 55, 10.0),
    "2c-2gb": _plan(2, 2, 65, 15.0),
    "2c-4gb": _plan(2, 4, 80, 20.0),
    "4c-8gb": _plan(4, 8, 160, 40.0),
    "6c-16gb": _plan(6, 16, 320, 80.0),
    "8c-32gb": _plan(8, 32, 640, 160.0),
    "16c-64gb": _plan(16, 64, 1280, 320.0),
    "24c-96gb": _plan(24, 96, 1600, 640.0),
}
_VHF = {
    "1c-1gb": _plan(1, 1, 32, 6.0),
    "1c-2gb": _plan(1, 2, 64, 12.0),
    "2c-2gb": _plan(2, 2, 80, 18.0),
    "2c-4gb": _plan(2, 4, 128, 24.0),
    "3c-8gb": _plan(3, 8, 256, 48.0),
    "4c-16gb": _plan(4, 16, 384, 96.0),
    "6c-24gb": _plan(6, 24, 448, 144.0),
    "8c-32gb": _plan(8, 32, 512, 192.0),
    "12c-48gb": _plan(12, 48, 768, 256.0),
}
_VHP = {
    "1c-1gb": _plan(1, 1, 25, 6.0),
    "1c-2gb": _plan(1, 2, 50, 12.0),
    "2c-2gb": _plan(2, 2, 60, 18.0),
    "2c-4gb": _plan(2, 4, 100, 24.0),
    "4c-8gb": _plan(4, 8, 180, 48.0),
    "4c-12gb": _plan(4, 12, 260, 72.0),
    "8c-16gb": _plan(8, 16, 350, 96.0),
    "12c-24gb": _plan(12, 24, 500, 144.0),
}
VULTR_PLANS = {
    f"{kind}-{size}{maker}": dataclasses.replace(plan, label=kind)
    for kind, sizes, makers in (("vc2", _VC2, [""]), ("vhf", _VHF, [""]), ("vhp", _VHP, ["-amd", "-intel"]))
    for maker in makers
    for size, plan in sizes.items()
}
VULTR_IMAGES = {
    2136: ("Debian 12 x64 (bookworm)", "debian"),
    2625: ("Debian 13 x64 (trixie)", "debian"),
    2284: ("Ubuntu 24.04 LTS x64", "ubuntu"),
    1743: ("Ubuntu 22.04 LTS x64", "ubuntu"),
}

USER_DATA_LIMIT_BYTES = {"linode": 16384, "vultr": 64 * 1024}
