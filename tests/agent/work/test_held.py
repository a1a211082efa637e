"""Results wait on disk until they are acknowledged."""

import os
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from agent.proto.agent_pb2 import ItemResult
from agent.work import held
from agent.work.held import HeldResults, count_held


def append(results: HeldResults, *outputs: bytes) -> list[int]:
    """Hold results with these outputs; return their ids."""
    made = [ItemResult(result_id=results.take_id(), stdout=output) for output in outputs]
    results.append([(result.result_id, result.SerializeToString()) for result in made])
    return [result.result_id for result in made]


def outputs(results: HeldResults) -> list[bytes]:
    return [ItemResult.FromString(results.read(ident)).stdout for ident in results.ids]


def test_what_is_not_acknowledged_is_there_for_the_next_agent(tmp_path: Path) -> None:
    first = HeldResults(tmp_path)
    ids = append(first, b"a", b"b", b"c")
    first.forget([ids[1]])
    first.close()
    again = HeldResults(tmp_path)
    assert outputs(again) == [b"a", b"c"]
    assert again.take_id() > max(ids)


def test_a_torn_end_is_as_if_it_had_never_been_there(tmp_path: Path) -> None:
    first = HeldResults(tmp_path)
    append(first, b"a", b"b")
    first.close()
    (path,) = tmp_path.glob("*.results")
    path.write_bytes(path.read_bytes()[:-1])
    again = HeldResults(tmp_path)
    assert outputs(again) == [b"a"]
    append(again, b"c")
    assert outputs(again) == [b"a", b"c"]


def test_counting_what_waits_makes_it_no_younger_and_mends_nothing(tmp_path: Path) -> None:
    results = HeldResults(tmp_path)
    ids = append(results, b"a", b"b", b"c")
    results.forget([ids[1]])
    results.close()
    (path,) = tmp_path.glob("*.results")
    path.write_bytes(path.read_bytes()[:-1])
    for file in (tmp_path, *tmp_path.iterdir()):
        os.utime(file, (1000, 1000))
    before = path.read_bytes()

    assert count_held(tmp_path) == 1

    assert path.read_bytes() == before
    assert {file.stat().st_mtime for file in (tmp_path, *tmp_path.iterdir())} == {1000}
    assert count_held(tmp_path / "nowhere") == 0


def test_segments_whose_results_are_all_acknowledged_leave_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "SEGMENT_BYTES", 1000)
    results = HeldResults(tmp_path)
    kept = append(results, b"kept" * 100)
    for _ in range(50):
        results.forget(append(results, b"x" * 400))
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert size < 5000
    assert results.ids == kept
    results.forget(kept)
    results.close()
    assert HeldResults(tmp_path).ids == []


def test_acknowledging_what_is_unknown_is_of_no_consequence(tmp_path: Path) -> None:
    results = HeldResults(tmp_path)
    (ident,) = append(results, b"a")
    results.forget([99, ident, ident])
    assert len(results) == 0
    with pytest.raises(KeyError):
        results.read(ident)


STEPS = st.tuples(st.sampled_from(["append", "forget", "reopen"]), st.integers(0, 9))


@hypothesis.given(steps=st.lists(STEPS, max_size=30))
def test_held_is_always_what_was_appended_without_what_was_acknowledged(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("held")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held, "SEGMENT_BYTES", 100)
        results = HeldResults(folder)
        model: dict[int, bytes] = {}
        for kind, number in steps:
            if kind == "append":
                data = [b"%d" % number * 20] * (number % 3 + 1)
                model.update(zip(append(results, *data), data, strict=True))
            elif kind == "forget" and model:
                ident = sorted(model)[number % len(model)]
                results.forget([ident])
                del model[ident]
            elif kind == "reopen":
                results.close()
                results = HeldResults(folder)
            assert results.ids == sorted(model)
            assert outputs(results) == [model[ident] for ident in sorted(model)]
        results.close()
