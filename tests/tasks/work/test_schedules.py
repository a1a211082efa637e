"""Whatever dies, stops or fills up: after `--resume` the ledger is exact, nothing is lost, nothing accepted twice."""

import json
import pathlib

import pytest

from tests.tasks.fleet import Fleet
from tests.tasks.work.schedule import ITEMS, Schedule, accepted


def _check(nodes: Fleet, folder: pathlib.Path, seed: int) -> None:
    record, last = Schedule(seed).run(nodes, folder)
    ledger = json.loads(last)
    assert (ledger["event"], ledger["total"], ledger["ok"]) == ("ledger", ITEMS, ITEMS), f"seed {seed}: {last}"
    assert accepted(record) == dict.fromkeys(range(ITEMS), 1), f"seed {seed}: an item is missing or accepted twice"
    executed = {int(line) for line in (folder / "executed").read_text().split()}
    assert executed == set(range(ITEMS)), f"seed {seed}: an item was never executed"


@pytest.mark.engine
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(20))
def test_the_ledger_is_exact_after_any_misfortune(nodes: Fleet, tmp_path: pathlib.Path, seed: int) -> None:
    _check(nodes, tmp_path, seed)


@pytest.mark.soak
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(100, 300))
def test_the_ledger_is_exact_after_two_hundred_more(nodes: Fleet, tmp_path: pathlib.Path, seed: int) -> None:
    _check(nodes, tmp_path, seed)
