"""Projects on a rehearsed cloud."""

import pathlib
from collections.abc import Iterator

import pytest

from tests.clouds.rehearsed import Rehearsed, new_rehearsed


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Built once a session."""
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture
def rehearsed(bundles: pathlib.Path) -> Iterator[Rehearsed]:
    """A project without a stack, on a rehearsal where nothing goes wrong."""
    with new_rehearsed(bundles) as made:
        yield made
