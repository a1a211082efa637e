"""Projects with the real engine: one a test where it breaks things, one a module where it does not."""

import pathlib
import tempfile
from collections.abc import Iterator

import pytest

from tests.stack.project import Project, fleet, new_project


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Built once a session."""
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture
def project(bundles: pathlib.Path) -> Iterator[Project]:
    """A throw-away project without a stack."""
    with new_project(bundles) as made:
        yield made


@pytest.fixture(scope="module")
def standing(bundles: pathlib.Path) -> Iterator[Project]:
    """The stack `demo` of three nodes, up for all tests of a module; who breaks it mends it."""
    with new_project(bundles) as made:
        made.create("demo", fleet(3))
        made.up()
        yield made


@pytest.fixture
def gate() -> Iterator[pathlib.Path]:
    """A file that the last items wait for: where the nodes' account sees it."""
    with tempfile.TemporaryDirectory(prefix="gaxx-gate-") as folder:
        pathlib.Path(folder).chmod(0o755)
        yield pathlib.Path(folder) / "open"
