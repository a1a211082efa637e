"""Answers hold for another input as far as its items are the same bytes."""

import collections
import pathlib

import hypothesis
import pytest
from hypothesis import strategies as st

from tasks.work import carry
from tasks.work.items import Spool, digest
from tasks.work.journal import Attempt, Fold, Journal
from tasks.work.states import State

VALUES = st.lists(st.sampled_from([b"a", b"b", b"c", b"\xff"]), max_size=12)


def spool_of(folder: pathlib.Path, items: list[bytes]) -> Spool:
    folder.mkdir()
    spool = Spool(folder)
    spool.feed(b"".join(item + b"\n" for item in items))
    spool.finish()
    return spool


def change_input(folder: pathlib.Path, journal: pathlib.Path, items: list[bytes], generation: int) -> Fold:
    """Put another input into force, as a resumed run does; return what the journal says then."""
    spool = spool_of(folder / f"input.{generation}", items)
    fold = Fold.of(journal)
    log = Journal(journal)
    log.event("input", generation=generation, items=len(items))
    for event in carry.batches(carry.carry(journal, fold, spool, folder), spool):
        log.event("carried", **event)
    log.event("ready", generation=generation)
    log.close()
    spool.close()
    return Fold.of(journal)


@hypothesis.given(
    old=VALUES, new=VALUES, third=VALUES, answered=st.lists(st.sampled_from(["ok", "failed", ""]), min_size=12)
)
def test_as_many_of_the_same_bytes_stay_done_as_were_done(
    tmp_path_factory: pytest.TempPathFactory,
    old: list[bytes],
    new: list[bytes],
    third: list[bytes],
    answered: list[str],
) -> None:
    folder = tmp_path_factory.mktemp("carry")
    journal = folder / "journal.jsonl"
    log = Journal(journal)
    done: collections.Counter[bytes] = collections.Counter()
    for index, (item, state) in enumerate(zip(old, answered, strict=False)):
        if state:
            log.append(Attempt(digest(item), index, 1, "n", 1, 0.0, 0.0, "exited", state).line())
            done[item] += 1
    log.close()
    for generation, items in ((2, new), (3, third)):
        fold = change_input(folder, journal, items, generation)
        kept = collections.Counter(
            items[index] for index, state in enumerate(fold.states) if state in (State.OK, State.FAILED)
        )
        wanted = collections.Counter(items) & done
        assert kept == wanted
        assert fold.generation == generation
        done = kept


def test_an_input_that_was_never_put_into_force_changes_nothing(tmp_path: pathlib.Path) -> None:
    journal = tmp_path / "journal.jsonl"
    log = Journal(journal)
    log.append(Attempt(digest(b"a"), 0, 1, "n", 1, 0.0, 0.0, "exited", "ok").line())
    log.event("input", generation=2, items=5)
    log.event("carried", items=[[3, 0, 1, "ok"]], digests=[digest(b"a")], stdout=[[0, 0]])
    log.close()
    fold = Fold.of(journal)
    assert (fold.generation, list(fold.states)) == (1, [State.OK])
