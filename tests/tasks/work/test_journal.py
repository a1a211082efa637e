"""The journal folds back to the truth, whatever byte it was killed at."""

import json
import pathlib
import resource
import signal

import hypothesis
import pytest
from hypothesis import strategies as st

from components.errors import Refused
from tasks.work import journal
from tasks.work.errors import JournalError
from tasks.work.states import State

STATES = st.sampled_from(["ok", "failed", "quarantined", "retry", "requeued", "duplicate"])
ATTEMPTS = st.builds(
    journal.Attempt,
    item=st.just("0" * 32),
    index=st.integers(0, 5),
    attempt=st.integers(1, 255),
    node=st.sampled_from(["demo-1", 'odd "node"', "demo-2"]),
    lease=st.integers(0, 2**40),
    start=st.integers(0, 10**6).map(lambda number: number / 64),
    end=st.integers(0, 10**6).map(lambda number: number / 64),
    kind=st.just("exited"),
    state=STATES,
    exit=st.integers(0, 255),
    signal=st.integers(0, 64),
    error=st.text(max_size=5),
    stdout=st.just((0, 0)) | st.tuples(st.integers(0, 99), st.integers(1, 99)),
    stderr=st.just((0, 0)) | st.tuples(st.integers(0, 99), st.integers(1, 99)),
    cut=st.booleans(),
    files=st.lists(st.tuples(st.text(max_size=3), st.integers(0, 9), st.text(max_size=3)), max_size=2).map(tuple),
)


def first_answers(attempts: list[journal.Attempt]) -> dict[int, str]:
    """What is true: the first answer of each item."""
    answers: dict[int, str] = {}
    for attempt in attempts:
        if attempt.state in ("ok", "failed", "quarantined"):
            answers.setdefault(attempt.index, attempt.state)
    return answers


@hypothesis.given(attempt=ATTEMPTS)
def test_a_line_reads_back_as_what_was_written(attempt: journal.Attempt) -> None:
    again = journal.Attempt.from_record(json.loads(attempt.line()))
    assert again == attempt


@hypothesis.given(attempts=st.lists(ATTEMPTS, min_size=1, max_size=8), cut=st.integers(0, 10**6))
def test_cut_at_any_byte_it_says_what_its_whole_lines_say_and_goes_on_from_there(
    tmp_path_factory: pytest.TempPathFactory, attempts: list[journal.Attempt], cut: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    lines = [attempt.line() for attempt in attempts]
    data = "".join(lines).encode()
    path.write_bytes(data[: cut % (len(data) + 1)])
    whole = attempts[: path.read_bytes().count(b"\n")]
    again = journal.Journal(path)
    again.append(lines[-1])
    again.close()
    fold = journal.Fold.of(path)
    wanted = first_answers([*whole, attempts[-1]])
    got = {index: State(state).name.lower() for index, state in enumerate(fold.states) if state}
    assert (got, fold.lines) == (wanted, len(whole) + 1)


def test_failures_on_a_cordoned_node_are_forgiven(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "journal.jsonl"
    log = journal.Journal(path)
    base = {"item": "", "attempt": 1, "lease": 1, "start": 0.0, "end": 0.0, "kind": "exited"}
    for index, state, node in [(0, "failed", "bad"), (1, "retry", "bad"), (2, "failed", "good"), (3, "ok", "bad")]:
        log.append(journal.Attempt(index=index, state=state, node=node, **base).line())  # type: ignore[arg-type]
    log.event("cordon", node="bad", reopened=[0])
    log.close()
    fold = journal.Fold.of(path)
    assert ([State(state) for state in fold.states], fold.failed_on) == (
        [State.PENDING, State.PENDING, State.FAILED, State.OK],
        {},
    )


def test_a_full_disk_appends_nothing_and_says_how_to_go_on(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "journal.jsonl"
    log = journal.Journal(path)
    log.event("run", version=1)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(JournalError, match=r"cannot be written.*--resume"):
            log.append("x" * 100 + "\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert path.read_bytes() == before
    log.append("{}\n")
    assert path.read_bytes() == before + b"{}\n"


@pytest.mark.parametrize("text", ["", "{}\n", '{"event":"else"}\n'])
def test_a_file_that_is_no_journal_is_refused(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(JournalError, match="does not begin like a journal"):
        journal.header(path)


def test_a_journal_of_another_version_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    path.write_text('{"event":"run","version":99}\n')
    with pytest.raises(Refused, match="version 99"):
        journal.header(path)


def test_a_line_in_the_middle_that_is_no_json_is_named(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    path.write_text('{"event":"run"}\nnonsense\n{}\n')
    with pytest.raises(JournalError, match=f"{path}:2"):
        journal.Fold.of(path)


def test_a_missing_journal_is_said(tmp_path: pathlib.Path) -> None:
    with pytest.raises(JournalError, match="no journal"):
        journal.Fold.of(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []
