"""Address ranges: read, merged, and told apart into private ones, listed ones and the world."""

import ipaddress
import typing
from collections.abc import Iterable, Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

WORLD: tuple[Network, ...] = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
PRIVATE: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)
"""Not routed on the internet. Documentation ranges are not here: they stand for public ones."""

_IPV4_IN_IPV6 = (ipaddress.IPv6Network("::ffff:0:0/96"), ipaddress.IPv6Network("64:ff9b::/96"))
"""All of IPv4 as IPv6 writes it (mapped), and behind NAT64."""
_SHARE_LIMIT = 16
"""So many of the widest public ranges may be open together; halves of a world come in small pieces too."""


def read(text: str) -> Network:
    """Read a range or an address, IPv4 inside IPv6 as the IPv4 that it is; raise ValueError."""
    network = ipaddress.ip_network(text.strip(), strict=False)
    if isinstance(network, ipaddress.IPv6Network):
        for embedding in _IPV4_IN_IPV6:
            if network.subnet_of(embedding):
                bits = int(network.network_address) & 0xFFFFFFFF
                return ipaddress.IPv4Network((bits, network.prefixlen - embedding.prefixlen))
            if network.supernet_of(embedding):
                return WORLD[1]
    return network


def merged(networks: Iterable[Network]) -> tuple[Network, ...]:
    """The same addresses in as few ranges as possible, IPv4 first."""
    ranges = tuple(networks)
    return (
        *ipaddress.collapse_addresses(n for n in ranges if isinstance(n, ipaddress.IPv4Network)),
        *ipaddress.collapse_addresses(n for n in ranges if isinstance(n, ipaddress.IPv6Network)),
    )


def outside(networks: Iterable[Network], allowed: Iterable[Network]) -> tuple[Network, ...]:
    """Those of `networks` that are not wholly inside the private or the allowed ranges."""
    inside = merged((*PRIVATE, *allowed))
    return tuple(n for n in merged(networks) if not any(_within(n, whole) for whole in inside))


def too_much_of_the_world(networks: Iterable[Network], *, widest_ipv4: int, widest_ipv6: int) -> tuple[Network, ...]:
    """Public ranges wider than these prefix lengths; all of them where together they are too many."""
    public = merged(outside(networks, ()))
    wide = tuple(n for n in public if n.prefixlen < (widest_ipv4 if n.version == 4 else widest_ipv6))  # noqa: PLR2004 - IPv4
    if wide:
        return wide
    found: list[Network] = []
    for version, widest, bits in ((4, widest_ipv4, 32), (6, widest_ipv6, 128)):
        ranges = [n for n in public if n.version == version]
        if sum(n.num_addresses for n in ranges) > _SHARE_LIMIT << (bits - widest):
            found.extend(ranges)
    return tuple(found)


def shown(networks: Sequence[Network]) -> str:
    """A few of them, and how many more."""
    limit = 4
    more = f" and {len(networks) - limit} more" if len(networks) > limit else ""
    return ", ".join(str(network) for network in networks[:limit]) + more


def _within(network: Network, whole: Network) -> bool:
    if network.version != whole.version:
        return False
    return network.subnet_of(typing.cast("typing.Any", whole))
