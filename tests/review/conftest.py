"""One Git repository for all reviews of a session: this project, with stacks of its own, and a branch a case."""

import pathlib
from collections.abc import Iterator

import pytest

from tests.review.repository import TestRepository, new_repository


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestRepository]:
    """Branches may be added; main stays as it is."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        # Own homes are made for tests, and this lives longer than one.
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield new_repository(tmp_path_factory.mktemp("review"))


@pytest.fixture(scope="session")
def expected() -> pathlib.Path:
    """Where the comments lie that reviews must say."""
    return pathlib.Path(__file__).parent / "expected"
