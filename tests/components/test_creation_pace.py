"""The estimate that a preview says, and the turns that make it true."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.creation_pace import PACES, Pace, Turns, estimate, minutes


@pytest.mark.parametrize(
    ("cloud", "machines", "said"),
    [
        ("linode", 1, "1 node of linode made anew: about 1 min"),
        ("linode", 8, "8 nodes of linode made anew: about 1 min"),
        ("linode", 50, "50 nodes of linode made anew: about 3 min"),
        ("vultr", 50, "50 nodes of vultr made anew: about 1 min"),
        ("local", 50, ""),
        ("linode", 0, ""),
    ],
)
def test_an_estimate_knows_the_vendors_pace(cloud: str, machines: int, said: str) -> None:
    assert estimate(cloud, machines) == said


@given(
    st.lists(st.floats(min_value=0, max_value=20), min_size=1, max_size=80),
    st.integers(min_value=1, max_value=12),
    st.floats(min_value=0.5, max_value=40),
)
def test_no_window_holds_more_turns_than_its_vendor_accepts(pauses: list[float], creates: int, window_s: float) -> None:
    turns, now, taken = Turns(Pace(creates, window_s, 0)), 0.0, []
    for pause_s in pauses:
        now += pause_s
        taken.append(now + turns.wait_s(now))

    assert taken == sorted(taken)
    for first, later in zip(taken, taken[creates:], strict=False):
        assert later - first >= window_s - 1e-6


def test_the_first_of_a_window_do_not_wait() -> None:
    turns = Turns(PACES["linode"])
    assert [turns.wait_s(100.0) for _ in range(11)] == [0.0] * 10 + [30.0]


def test_clouds_work_side_by_side_and_an_update_takes_a_minute_at_least() -> None:
    assert minutes({"linode": 50, "vultr": 50}) == minutes({"linode": 50}) == 3
    assert minutes({"local": 3}) == 1
    assert minutes({}) == 1
