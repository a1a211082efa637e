"""Whose a machine is: the id of a backend, which two computers must not share."""

import pathlib

import pytest

from components import backend


@pytest.fixture
def url(tmp_path: pathlib.Path) -> str:
    (tmp_path / "b/.pulumi/stacks/gaxx").mkdir(parents=True)
    return f"file://{tmp_path}/b?metadata=skip"


def state(tmp_path: pathlib.Path, text: str, name: str = "prod.json") -> None:
    (tmp_path / "b/.pulumi/stacks/gaxx" / name).write_text(text)


def test_a_new_file_backend_gets_an_id_of_its_own_once(tmp_path: pathlib.Path, url: str) -> None:
    bare = backend.backend_id(url, tmp_path)
    state(tmp_path, '{"version": 3}')
    backend.ensure_own_id(url, tmp_path)
    own = backend.backend_id(url, tmp_path)
    backend.ensure_own_id(url, tmp_path)
    assert own != bare
    assert backend.backend_id(url, tmp_path) == own
    assert backend.backend_id(f"file://{tmp_path}/b", tmp_path) == own, "options of the URL are not the place"
    assert backend.backend_id("file://b", tmp_path) == own
    assert [path.name for path in (tmp_path / "b/.pulumi").iterdir() if path.is_file()] == ["gaxx-id"]

    (tmp_path / "b/.pulumi/gaxx-id").unlink()
    backend.ensure_own_id(url, tmp_path)
    assert backend.backend_id(url, tmp_path) != own, "the next computer's is another one"


@pytest.mark.parametrize(("text", "name"), [('[{"type": "gaxx:index:Sweep"}]', "prod.json"), ("", "prod.json.gz")])
def test_a_backend_whose_machines_may_carry_the_old_id_keeps_it(
    tmp_path: pathlib.Path, url: str, text: str, name: str
) -> None:
    before = backend.backend_id(url, tmp_path)
    state(tmp_path, text, name)
    backend.ensure_own_id(url, tmp_path)
    assert backend.backend_id(url, tmp_path) == before


def test_other_backends_are_known_by_their_address_alone(tmp_path: pathlib.Path) -> None:
    backend.ensure_own_id("s3://bucket/team", tmp_path)
    assert backend.backend_id("s3://bucket/team?profile=ada", tmp_path) == backend.backend_id(
        "s3://bucket/team", tmp_path
    )
    backend.ensure_own_id(f"file://{tmp_path}/nowhere", tmp_path)
    assert list(tmp_path.iterdir()) == []
