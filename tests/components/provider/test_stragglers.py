"""How long a fleet waits for its last nodes."""

import itertools

import pytest

from components.provider import stragglers
from components.provider.context import Context, EngineLog

FRESH = itertools.count()


@pytest.fixture
def context() -> Context:
    """A call about a stack of its own."""
    return Context(f"urn:pulumi:stack{next(FRESH)}::gaxx::a::b", EngineLog(""), "")


def test_nobody_is_late_while_fewer_than_enough_are_enrolled(context: Context) -> None:
    stragglers.enrolled(context, "web", "web-1", 10.0)
    assert not stragglers.is_late(context, "web", 2, 3600.0)


def test_who_takes_twice_as_long_as_the_slowest_of_enough_is_late(context: Context) -> None:
    stragglers.enrolled(context, "web", "web-1", 10.0)
    stragglers.enrolled(context, "web", "web-2", 40.0)
    assert not stragglers.is_late(context, "web", 2, 79.0)
    assert stragglers.is_late(context, "web", 2, 81.0)
    assert not stragglers.is_late(context, "other", 2, 81.0)


def test_where_none_was_enrolled_in_this_update_nobody_knows_what_is_late(context: Context) -> None:
    stragglers.found_serving(context, "web", "web-1")
    assert not stragglers.is_late(context, "web", 1, 3600.0)
    stragglers.enrolled(context, "web", "web-2", 1.0)
    assert stragglers.is_late(context, "web", 1, stragglers.LEAST_S + 1)


def test_where_all_are_needed_nobody_is_late(context: Context) -> None:
    stragglers.enrolled(context, "web", "web-1", 1.0)
    assert not stragglers.is_late(context, "web", 0, 3600.0)
