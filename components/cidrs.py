"""Which address ranges a rule may name: canonical text, and whether a list of them opens a port to the world.

A range inside a private one (RFC 1918, RFC 6598 shared space, loopback, link-local, unique local) is never
too wide. A public one is, when it is shorter than /16 (IPv4) or /32 (IPv6) after neighbours are merged:
that lets a company list its own network and refuses the halves and quarters that add up to everybody.
"""

import ipaddress
from collections.abc import Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PRIVATE: tuple[Network, ...] = tuple(
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
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_EMBEDDED_IPV4 = (_MAPPED, ipaddress.IPv6Network("64:ff9b::/96"))
"""All of IPv4 inside IPv6: written as such, and behind NAT64."""
_WIDEST_PUBLIC = {4: 16, 6: 32}


def parse(text: str) -> Network:
    """Read one range, or one address; raise ValueError saying what is wrong and what would be right."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        message = f"{text!r} is not an address range; 10.0.0.0/8 or 203.0.113.7/32 would be"
        raise ValueError(message) from None
    address = ipaddress.ip_address(text.split("/", 1)[0])
    if address != network.network_address:
        message = f"{text!r} has bits set to the right of its prefix; {network} or {address}/{network.max_prefixlen}"
        raise ValueError(message)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        message = f"{text!r} is IPv4 written as IPv6, which no firewall matches; IPv4's own form is right"
        raise ValueError(message)
    return network


def is_too_wide(network: Network) -> bool:
    """Whether a range is open to the world, or to more of it than anybody can trust."""
    if isinstance(network, ipaddress.IPv6Network) and any(network.overlaps(whole) for whole in _EMBEDDED_IPV4):
        return network.prefixlen < _WIDEST_PUBLIC[4] + 96
    return not _is_private(network) and network.prefixlen < _WIDEST_PUBLIC[network.version]


def merged(networks: Iterable[Network]) -> tuple[Network, ...]:
    """The same addresses in as few ranges as possible, IPv4 first."""
    ranges = tuple(networks)
    return (
        *ipaddress.collapse_addresses(n for n in ranges if isinstance(n, ipaddress.IPv4Network)),
        *ipaddress.collapse_addresses(n for n in ranges if isinstance(n, ipaddress.IPv6Network)),
    )


def _is_private(network: Network) -> bool:
    return any(
        (isinstance(network, ipaddress.IPv4Network) and isinstance(p, ipaddress.IPv4Network) and network.subnet_of(p))
        or (
            isinstance(network, ipaddress.IPv6Network) and isinstance(p, ipaddress.IPv6Network) and network.subnet_of(p)
        )
        for p in _PRIVATE
    )
