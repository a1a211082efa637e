"""Order, durations, time limits, halting, pace: the small rules of a run."""

import random
import statistics

import hypothesis
import pytest
from hypothesis import strategies as st

from components.errors import GaxxError
from tasks.work.durations import Durations, TimeLimit, parse_duration_s
from tasks.work.halting import HaltPolicy
from tasks.work.ledger import Ledger
from tasks.work.order import Shuffled
from tasks.work.pace import MAX_LEASED, Pace


@hypothesis.given(count=st.integers(1, 2000), seed=st.text(max_size=5))
def test_a_shuffle_hands_out_every_item_once(count: int, seed: str) -> None:
    order = Shuffled(count, seed)
    assert sorted(order.at(position) for position in range(count)) == list(range(count))


def test_a_shuffle_depends_on_its_seed_alone_and_does_shuffle() -> None:
    first, again, other = (
        [order.at(position) for position in range(1000)]
        for order in (Shuffled(1000, "a"), Shuffled(1000, "a"), Shuffled(1000, "b"))
    )
    assert first == again != other
    assert sum(abs(index - position) for position, index in enumerate(first)) / 1000 > 200


def test_the_median_is_right_to_two_percent() -> None:
    rng = random.Random(4)  # noqa: S311 - to be repeated
    samples = [rng.lognormvariate(0, 2) for _ in range(5000)]
    durations = Durations()
    for sample in samples:
        durations.add(sample)
    assert durations.median_s() == pytest.approx(statistics.median(samples), rel=0.02)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), (".5", 0.5)])
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-3", "abc", "100%", "50%", "x%", "nan"])
def test_a_time_limit_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(GaxxError, match="--timeout"):
        TimeLimit.parse(text)


def test_a_percentage_holds_once_there_are_successes_to_compare_with() -> None:
    limit, successes = TimeLimit.parse("300%"), Durations()
    assert limit.in_force_s(successes) == 0
    for _ in range(3):
        successes.add(2.0)
    assert limit.in_force_s(successes) == pytest.approx(6.0, rel=0.02)


@pytest.mark.parametrize(
    ("text", "ok", "bad", "total", "reached"),
    [
        ("never", 0, 1000, 1000, False),
        ("now,fail=1", 5, 0, 10, False),
        ("now,fail=1", 5, 1, 10, True),
        ("soon,fail=10%", 50, 9, 100, False),
        ("soon,fail=10%", 50, 10, 100, True),
        ("soon,fail=10%", 0, 2, 10, False),
        ("soon,fail=50%", 1, 3, 0, True),
        ("soon,success=2", 2, 0, 10, True),
        ("soon,done=3", 2, 1, 10, True),
    ],
)
def test_a_run_halts_when_its_limit_is_reached(text: str, ok: int, bad: int, total: int, reached: bool) -> None:
    assert HaltPolicy.parse(text).reached(ok=ok, bad=bad, total=total) is reached


@pytest.mark.parametrize("text", ["", "now", "now,fail", "later,fail=1", "now,fail=0", "now,fail=1.5", "now,fail=x%"])
def test_a_halt_policy_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(GaxxError, match="--halt"):
        HaltPolicy.parse(text)


def test_a_halt_policy_reads_as_it_was_written() -> None:
    assert [str(HaltPolicy.parse(text)) for text in ("never", "soon,fail=10%", "now,done=3")] == [
        "never", "soon,fail=10%", "now,done=3",
    ]  # fmt: skip


def test_a_ledger_that_does_not_add_up_cannot_be_made() -> None:
    with pytest.raises(GaxxError, match="does not add up"):
        Ledger(total=3, ok=1, failed=1)


def test_a_node_starts_with_an_item_a_slot_and_grows_to_two_seconds_of_its_speed() -> None:
    pace, now, targets = Pace(2), 0.0, []
    for _ in range(60):
        targets.append(pace.target(now, left=10**6, nodes=4))
        now += 0.1
        pace.answered(10, now)
    assert targets[0] == 2
    assert targets[-1] == pytest.approx(200, rel=0.2)
    assert max(targets) <= MAX_LEASED


def test_a_node_with_slow_items_holds_one_a_slot() -> None:
    pace = Pace(4)
    for second in range(10, 100, 10):
        pace.answered(4, float(second))
    assert pace.target(100.0, left=10**6, nodes=1) == 4


def test_towards_the_end_no_node_is_given_more_than_its_share() -> None:
    pace, now = Pace(1), 0.0
    for _ in range(40):
        now += 0.1
        pace.answered(50, now)
    assert pace.target(now, left=100, nodes=10) == 5
