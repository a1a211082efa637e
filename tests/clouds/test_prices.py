"""`gaxx prices`: the table that budgets are judged by, and how it is renewed from what the vendors tell everybody."""

import json
import shutil
from collections.abc import Iterator

import pytest

from tasks.rehearsal import catalogue
from tests.clouds.service import served
from tests.stack.project import ROOT, Project

pytestmark = pytest.mark.clouds


@pytest.fixture
def priced(project: Project) -> Iterator[Project]:
    """A project with a table of its own, and vendors that answer; without a token."""
    (project.folder / "policy").unlink()
    shutil.copytree(ROOT / "policy", project.folder / "policy", ignore=shutil.ignore_patterns("__pycache__"))
    with served() as rehearsal:
        names = ("LINODE_URL", "GAXX_VULTR_URL")
        project.environment.update({name: rehearsal.environment()[name] for name in names})
        yield project


def test_the_table_is_shown_with_its_date_and_source(project: Project) -> None:
    done = project.gaxx("prices", "--cloud", "linode")
    assert "g6-nanode-1" in done.stdout
    assert "0.0075" in done.stdout
    assert "vc2-1c-1gb" not in done.stdout
    assert "prices of 20" in done.stderr
    assert "https://" in done.stderr
    rows = [json.loads(line) for line in project.gaxx("prices", "--json").stdout.splitlines()]
    assert {row["cloud"] for row in rows} == {"linode", "vultr"}
    assert all(row["hourly_usd"] > 0 and row["date"] and row["source"] for row in rows)


def test_a_vendor_that_names_far_fewer_types_than_before_is_not_believed(priced: Project) -> None:
    table = priced.folder / "policy/prices.json"
    old = json.loads(table.read_text())
    kinds = old["clouds"]["linode"]["types"]
    kinds |= {f"{name}-{letter}": price for name, price in kinds.items() for letter in "abc"}
    table.write_text(before := json.dumps(old))
    done = priced.gaxx("prices", "--update", check=1)
    assert "nothing was written" in done.stderr
    assert table.read_text() == before


def test_every_type_that_has_a_price_can_be_rehearsed() -> None:
    clouds = json.loads((ROOT / "policy/prices.json").read_text())["clouds"]
    assert clouds["linode"]["types"] == {name: size.hourly for name, size in catalogue.LINODE_TYPES.items()}
    assert clouds["vultr"]["types"] == {name: size.hourly for name, size in catalogue.VULTR_PLANS.items()}
    assert clouds["linode"]["regions"].keys() <= catalogue.LINODE_REGIONS.keys()


def test_an_update_asks_without_a_token_and_writes_what_the_vendors_say(priced: Project) -> None:
    table = priced.folder / "policy/prices.json"
    old = json.loads(table.read_text())
    old["clouds"]["linode"]["types"]["g6-nanode-1"] = 1.0
    table.write_text(json.dumps(old))

    changes = [json.loads(line) for line in priced.gaxx("prices", "--update", "--json").stdout.splitlines()]

    assert {"cloud": "linode", "type": "g6-nanode-1", "before": 1.0, "after": 0.0075} in changes
    new = json.loads(table.read_text())
    assert new["clouds"]["linode"]["types"] == {name: size.hourly for name, size in catalogue.LINODE_TYPES.items()}
    assert new["clouds"]["vultr"]["types"] == {name: size.hourly for name, size in catalogue.VULTR_PLANS.items()}
    assert new["clouds"]["linode"]["regions"] == catalogue.LINODE_DEARER
    assert new["date"] > old["date"]
    assert new["clouds"]["linode"]["source"].endswith("/v4/linode/types")
    assert priced.gaxx("prices", "--update").stdout == "", "what has not changed is not told"
    assert [path.name for path in table.parent.glob(".*")] == [], "nothing is left beside it"


def test_a_vendor_that_does_not_answer_leaves_the_table_as_it_is(priced: Project) -> None:
    table = priced.folder / "policy/prices.json"
    before = table.read_text()
    priced.environment["LINODE_URL"] = "http://127.0.0.1:9"
    done = priced.gaxx("prices", "--update", check=1)
    assert done.stderr.startswith("gaxx: linode: GET linode/types")
    assert table.read_text() == before
