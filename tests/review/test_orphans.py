"""What is in no state is in a review where somebody may ask the vendors; elsewhere it says that nobody did."""

import dataclasses
import pathlib
from collections.abc import Iterator

import pytest

from components import backend, naming
from tests.clouds.accounts import Accounts
from tests.clouds.service import served
from tests.review.cases import DEMO
from tests.review.repository import TestRepository, replaced

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


@pytest.fixture
def accounts() -> Iterator[Accounts]:
    with served() as rehearsal:
        yield Accounts({name: str(value) for name, value in rehearsal.environment().items()})


@pytest.fixture
def equipped(repository: TestRepository, accounts: Accounts, tmp_path: pathlib.Path) -> TestRepository:
    """The repository of somebody with a backend and tokens."""
    (tmp_path / "backend/.pulumi/stacks").mkdir(parents=True)
    backend.ensure_own_id(f"file://{tmp_path / 'backend'}", tmp_path)
    own = {
        "PULUMI_BACKEND_URL": f"file://{tmp_path / 'backend'}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE": "of-the-test",
        "PULUMI_HOME": str(tmp_path / "pulumi"),
    }
    return dataclasses.replace(repository, environment={**repository.environment, **accounts.variables, **own})


def lose(repository: TestRepository, accounts: Accounts, stack: str, **whose: str) -> None:
    """Make a machine that no state knows."""
    url = repository.environment["PULUMI_BACKEND_URL"]
    marks = {"project": "gaxx", "backend_id": backend.backend_id(url, repository.folder), **whose}
    tags = naming.tags(**marks, stack=stack, fleet="web", index=1, ttl="1h", owner="ada")
    order = {"region": "nl-ams", "type": "g6-standard-2", "label": f"{stack}-web-1", "tags": list(tags)}
    accounts.linode("POST", "linode/instances", order)


def test_orphans_are_found_where_tokens_and_a_backend_are(equipped: TestRepository, accounts: Accounts) -> None:
    equipped.branch("with-orphans", {DEMO: replaced("nodes: 2", "nodes: 3")})
    none = equipped.review("with-orphans")
    lose(equipped, accounts, "gone")
    lose(equipped, accounts, "theirs", backend_id="ffffffffffff")
    first, second = equipped.review("with-orphans"), equipped.review("with-orphans")
    fork = equipped.review("with-orphans", "--static")

    assert none.code == first.code == 0, first.stderr
    assert "At linode and vultr nothing of this project was found that no state knows." in none.stdout
    assert "### Orphans found: 1, $0.036/h" in first.stdout
    assert "| `linode` | `machine` | `gone-web-1` | `gone` |" in first.stdout
    assert "| no state knows it, and there is no stack of that name |" in first.stdout, "however young it is"
    assert "theirs-web-1" not in first.stdout
    assert first.stdout == second.stdout, "the same things are the same words, however old they are"
    assert "gone-web-1" not in fork.stdout
    assert "Orphans were not looked for: a static review asks nobody." in fork.stdout
    for answer in (none, first, fork):
        said = answer.stdout + answer.stderr
        assert not [name for name in ("LINODE_TOKEN", "VULTR_API_KEY") if accounts.variables[name] in said]


def test_what_was_not_asked_is_said(equipped: TestRepository, accounts: Accounts) -> None:
    equipped.branch("half-asked", {DEMO: replaced("nodes: 2", "nodes: 1")})
    lose(equipped, accounts, "gone")

    def without(*names: str) -> str:
        environment = {name: value for name, value in equipped.environment.items() if name not in names}
        answer = dataclasses.replace(equipped, environment=environment).review("half-asked")
        assert answer.code == 0, answer.stderr
        return answer.stdout

    assert "vultr was not asked: `VULTR_API_KEY` is not in the environment" in without("VULTR_API_KEY")
    assert "Orphans were not looked for: neither `LINODE_TOKEN` nor `VULTR_API_KEY`" in without(
        "VULTR_API_KEY", "LINODE_TOKEN"
    )
    assert "Orphans were not looked for: there is no Pulumi backend here." in without("PULUMI_BACKEND_URL")
