"""The table of clouds fits itself."""

import re
import typing

import pytest

from components.cloud_table import CLOUDS, Cloud, slots_of
from components.settings import parse_settings

CLOUD_NAMES: tuple[Cloud, ...] = typing.get_args(Cloud)


def test_every_cloud_has_a_row() -> None:
    assert tuple(CLOUDS) == CLOUD_NAMES


@pytest.mark.parametrize("cloud", CLOUD_NAMES)
def test_what_a_row_offers_it_also_accepts(cloud: Cloud) -> None:
    row = CLOUDS[cloud]
    for machine_type in {row.type, row.type_example, *row.types}:
        assert re.fullmatch(row.type_pattern, machine_type)
    for image in (row.image, row.image_example):
        assert re.fullmatch(row.image_pattern, image)
        assert "latest" not in image


@pytest.mark.parametrize("cloud", [cloud for cloud in CLOUD_NAMES if not CLOUDS[cloud].paid])
def test_a_free_cloud_needs_nothing_but_a_name(cloud: Cloud) -> None:
    read = parse_settings({"fleets": [{"name": "x", "cloud": cloud}]}, project="gaxx", stack="demo")
    assert read.fleets[0].nodes == 1


@pytest.mark.parametrize(
    ("cloud", "machine_type", "slots"),
    [
        ("local", "small", 2),
        ("qemu", "large", 8),
        ("linode", "g6-nanode-1", 1),
        ("linode", "g6-standard-4", 4),
        ("linode", "g6-dedicated-16", 16),
        ("linode", "g1-gpu-rtx6000-1", 1),
        ("vultr", "vc2-2c-4gb", 2),
        ("vultr", "vhf-8c-32gb", 8),
        ("vultr", "voc-c-16c-32gb-300s-amd", 16),
        ("vultr", "something-else", 1),
    ],
)
def test_slots_are_the_processors_that_a_type_names(cloud: Cloud, machine_type: str, slots: int) -> None:
    assert slots_of(cloud, machine_type) == slots
