"""The guards of conftest.py hold."""

import os
import pathlib
from collections.abc import Iterator

import pytest

from components import places


@pytest.fixture(scope="module", autouse=True)
def person() -> Iterator[None]:
    """What a person may have set; too late for the guards of the session, in time for those of a test."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in ("LINODE_TOKEN", "VULTR_API_KEY", "PULUMI_ACCESS_TOKEN", "AWS_PROFILE", "GAXX_STATE_DIR"):
            monkeypatch.setenv(name, "the person's own")
        monkeypatch.setenv("SSH_AUTH_SOCK", "/nonexistent")
        yield


def test_no_credential_or_agent_of_the_person_reaches_a_test() -> None:
    assert [name for name, value in os.environ.items() if value in {"the person's own", "/nonexistent"}] == []


def test_every_place_of_gaxx_is_a_tests_own(own_home: pathlib.Path, state_dir: pathlib.Path) -> None:
    for place in (places.private_dir(), places.config_dir(), places.cache_dir(), places.operator_dir()):
        assert place.is_relative_to(own_home)
    assert places.state_dir() == state_dir
    assert pathlib.Path.home() == own_home


def test_the_state_folder_is_open_to_the_account_that_nodes_run_as(state_dir: pathlib.Path) -> None:
    for folder in (state_dir, *state_dir.parents):
        assert folder.stat().st_mode & 0o001
