"""Projects on a rehearsed cloud."""

import pathlib
from collections.abc import Iterator

import pytest

from tests.clouds.rehearsed import Rehearsed, new_rehearsed
from tests.stack.project import Project, new_project


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Built once a session."""
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture
def project(bundles: pathlib.Path) -> Iterator[Project]:
    """A throw-away project without a stack."""
    with new_project(bundles) as made:
        yield made


@pytest.fixture
def rehearsed(bundles: pathlib.Path) -> Iterator[Rehearsed]:
    """A project without a stack, on a rehearsal where nothing goes wrong."""
    with new_rehearsed(bundles) as made:
        yield made
