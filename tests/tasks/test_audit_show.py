"""Audit lines in a person's words: equal ones fold, and nothing that a node writes can break or steer the terminal."""

import datetime as dt
import typing
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from agent.audit.lines import Kind
from components.errors import GaxxError
from tasks.audit.sentences import _BY_KIND, sentence, who
from tasks.audit.show import Wanted, folded, moment
from tasks.cli import audit

KINDS = typing.get_args(Kind)
FIELDS = (
    "event", "why", "principal", "user", "peer", "port", "role", "certificate", "program", "words", "run", "path",
    "bytes", "sha256", "fault", "key", "serial", "before", "principals_added", "files", "ending", "exit_code", "time",
    "machine", "killed", "unnoted_before", "torn_bytes", "lines", "first", "last", "build", "signal", "call", "reason",
)  # fmt: skip

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def line(at_s: float, **fields: object) -> dict[str, Any]:
    when = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=at_s)
    return {"time": when.isoformat(), "principal": "ada", **fields}


@given(st.fixed_dictionaries({"kind": st.sampled_from(KINDS) | JSON}, optional=dict.fromkeys(FIELDS, JSON)))
def test_whatever_a_node_writes_has_a_sentence_without_control_characters(record: dict[str, Any]) -> None:
    for text in (sentence(record), who(record)):
        assert text.isprintable()
    assert len(folded([("demo-1", record)])) == 1
    assert record in Wanted()
    assert isinstance(record in Wanted(moment("1h"), frozenset({"item"}), frozenset({"ada"})), bool)


@pytest.mark.parametrize("size", [-1, 10**400, True])
def test_odd_sizes_are_left_out(size: int) -> None:
    said = sentence({"kind": "file", "event": "put", "path": "x", "bytes": size, "sha256": "ab"})
    assert said.startswith("put x, ")


def test_every_kind_that_the_agent_writes_can_be_asked_for_and_has_words() -> None:
    assert set(audit.KINDS) == set(_BY_KIND) == set(KINDS)


def test_equal_lines_of_all_nodes_within_a_short_time_are_one() -> None:
    ended: dict[str, object] = {"kind": "item", "event": "end", "ending": "exited", "exit_code": 0, "run": "r"}
    lines = [(f"demo-{at % 3 + 1}", line(at, **ended, index=at)) for at in range(30)]
    lines += [("demo-1", line(31, **{**ended, "exit_code": 7})), ("demo-1", line(500, **ended))]
    rows = [fold.row for fold in folded(lines)]
    assert [row[1:] for row in rows] == [
        ("demo-[1-3]", "ada", "item exited 0 of run r", "30"),
        ("demo-1", "ada", "item exited 7 of run r", "1"),
        ("demo-1", "ada", "item exited 0 of run r", "1"),
    ]
    assert rows[0][0] == "2026-01-01 00:00:00Z"


def test_a_connection_is_told_without_the_port_that_differs_each_time() -> None:
    texts = {
        sentence({"kind": "connection", "port": "agent", "role": "operator", "peer": f"[::1]:{port}"})
        for port in (4001, 4002)
    }
    assert texts == {"connected to agent from ::1 as operator"}


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400)],
)  # fmt: skip
def test_a_time_ago(text: str, seconds: int) -> None:
    assert abs((dt.datetime.now(dt.UTC) - moment(text)).total_seconds() - seconds) < 5


def test_a_time_without_a_zone_is_utc_and_nonsense_is_refused() -> None:
    assert moment("2026-01-31T12:00:00") == moment("2026-01-31T13:00:00+01:00")
    for text in ("", "soon", "10", "10 m", "-1h"):
        with pytest.raises(GaxxError, match="no time"):
            moment(text)


def test_options_before_the_subcommand_are_refused_because_they_would_not_count() -> None:
    done = CliRunner().invoke(audit.audit_command, ["-n", "demo-1", "verify"], standalone_mode=False)
    assert "stand behind verify" in str(done.exception)
