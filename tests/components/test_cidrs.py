"""Which address ranges are too wide to be trusted."""

import ipaddress
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components import cidrs

NETWORKS: st.SearchStrategy[cidrs.Network] = st.one_of(
    st.builds(
        lambda address, prefix: ipaddress.IPv4Network((address, prefix), strict=False),
        st.integers(0, 2**32 - 1),
        st.integers(0, 32),
    ),
    st.builds(
        lambda address, prefix: ipaddress.IPv6Network((address, prefix), strict=False),
        st.integers(2**32, 2**128 - 1),
        st.integers(0, 128),
    ),
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10.0.0.0/33", "not an address range"),
        ("10.0.0.1/8", "10.0.0.0/8 or 10.0.0.1/32"),
        ("fd00::1/8", "fd00::/8 or fd00::1/128"),
        ("example.org", "not an address range"),
        ("", "not an address range"),
        ("10.0.0.0/8 ", "not an address range"),
        ("::ffff:0:0/96", "IPv4 written as IPv6"),
        ("::ffff:10.0.0.1", "IPv4 written as IPv6"),
        ("::ffff:10.0.0.0/104", "IPv4 written as IPv6"),
        ("0/0", "not an address range"),
    ],
)
def test_what_is_no_plain_range_is_refused_with_what_would_be_one(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cidrs.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.1.0/24",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "fd00::/8",
        "::1/128",
        "203.0.113.7/32",
        "203.0.113.7",
        "192.0.2.0/24",
        "198.51.0.0/16",
        "2001:db8::/32",
        "64:ff9b::203.0.113.7/128",
    ],
)
def test_private_ranges_and_narrow_public_ones_are_accepted(text: str) -> None:
    assert not cidrs.is_too_wide(cidrs.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0/0",
        "0.0.0.0/1",
        "128.0.0.0/1",
        "8.0.0.0/5",
        "11.0.0.0/8",
        "198.50.0.0/15",
        "::/0",
        "::/1",
        "2000::/3",
        "2002::/16",
        "::/80",
        "64:ff9b::/96",
        "64:ff9b::/97",
    ],
)
def test_the_world_and_large_parts_of_it_are_too_wide(text: str) -> None:
    assert cidrs.is_too_wide(cidrs.parse(text))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 11), st.randoms(use_true_random=False))
def test_no_way_of_cutting_the_world_into_pieces_hides_it(prefix: int, order: random.Random) -> None:
    pieces = list(ipaddress.IPv4Network("0.0.0.0/0").subnets(new_prefix=prefix))
    order.shuffle(pieces)
    assert any(cidrs.is_too_wide(network) for network in cidrs.merged(pieces))


@given(st.lists(NETWORKS, max_size=8))
def test_merging_neither_gains_nor_loses_an_address(networks: list[cidrs.Network]) -> None:
    merged = cidrs.merged(networks)
    assert merged == cidrs.merged(reversed(networks))
    for network in networks:
        assert any(covers(whole, network) for whole in merged)
    for whole in merged:
        inside = [network for network in networks if covers(whole, network)]
        assert sum(n.num_addresses for n in cidrs.merged(inside)) == whole.num_addresses


def covers(outer: cidrs.Network, inner: cidrs.Network) -> bool:
    return (
        outer.version == inner.version
        and outer.network_address <= inner.network_address  # type: ignore[operator]
        and inner.broadcast_address <= outer.broadcast_address  # type: ignore[operator]
    )


@given(NETWORKS)
def test_a_canonical_range_reads_back_as_itself(network: cidrs.Network) -> None:
    if not (network.version == 6 and str(network).startswith("::ffff:")):
        assert cidrs.parse(str(network)) == network
