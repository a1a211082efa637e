"""Filters, pages, limits and faults of the rehearsal."""

import pytest

from components.errors import GaxxError
from tasks.rehearsal import filters
from tasks.rehearsal.faults import NAMES, Faults, parse
from tasks.rehearsal.limits import Limit, Meter

ENTRIES = [
    {"id": 1, "label": "web-1", "tags": ["a"], "entity": {"id": 7}},
    {"id": 2, "label": "web-2", "tags": ["a", "b"], "entity": {"id": 8}},
    {"id": 3, "label": "db", "tags": [], "entity": {"id": 8}},
]


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ({}, [1, 2, 3]),
        ({"label": "db"}, [3]),
        ({"label": {"+contains": "web"}}, [1, 2]),
        ({"tags": "b"}, [2]),
        ({"entity.id": 8}, [2, 3]),
        ({"+and": [{"tags": "a"}, {"entity.id": 8}]}, [2]),
        ({"+or": [{"id": 1}, {"id": 3}]}, [1, 3]),
        ({"id": {"+gte": 2}, "+order_by": "id", "+order": "desc"}, [3, 2]),
    ],
)
def test_a_filter_leaves_what_fits(where: dict[str, object], ids: list[int]) -> None:
    assert [entry["id"] for entry in filters.filtered(ENTRIES, where)] == ids


def test_an_unknown_operator_is_refused() -> None:
    with pytest.raises(ValueError, match="not an operator"):
        filters.filtered(ENTRIES, {"id": {"+like": 1}})


def test_a_page_says_how_many_there_are() -> None:
    assert filters.page(ENTRIES, 2, 2) == {"data": ENTRIES[2:], "page": 2, "pages": 2, "results": 3}
    assert filters.page([], 100, 100) == {"data": [], "page": 100, "pages": 1, "results": 0}


def test_a_limit_counts_in_a_sliding_window() -> None:
    meter = Meter(Limit(calls=2, window_s=10))
    assert [meter.wait_s(now) for now in (0.0, 1.0, 2.0)] == [0, 0, 8]
    assert meter.wait_s(10.5) == 0
    assert meter.wait_s(10.6) == 1


def test_the_same_seed_goes_wrong_in_the_same_way() -> None:
    def strikes(seed: int) -> list[bool]:
        faults = Faults({"500": (0.5, None)}, seed=seed)
        return [faults.strikes("500") for _ in range(64)]

    assert strikes(1) == strikes(1)
    assert strikes(1) != strikes(2)


def test_a_fault_strikes_as_often_as_it_may() -> None:
    faults = Faults(parse("500=1/2"))
    assert [faults.strikes("500") for _ in range(4)] == [True, True, False, False]
    assert not faults.strikes("429")


@pytest.mark.parametrize("text", ["fire=1", "500", "500=2", "500=x", "500=1/-1"])
def test_a_fault_that_cannot_be_is_refused_and_the_names_are_said(text: str) -> None:
    with pytest.raises(GaxxError) as refused:
        parse(text)
    assert all(name in str(refused.value) for name in NAMES)
