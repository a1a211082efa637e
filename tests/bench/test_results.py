"""RESULTS.md: each measurement replaces its own section."""

import pathlib

import pytest

from bench import results


@pytest.fixture
def path(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    written = tmp_path / "RESULTS.md"
    monkeypatch.setattr(results, "PATH", written)
    return written


def test_a_section_is_replaced_and_the_others_stay(path: pathlib.Path) -> None:
    results.write("run", ["## Run", "first words"], load_before=0.5)
    results.write("up", ["## Up", "two"], load_before=0.5)
    results.write("run", ["## Run", r"three \1"], load_before=0.5)

    text = path.read_text()
    assert "first words" not in text
    assert text.index(r"three \1") < text.index("two")
    assert text.count("<!-- run -->") == text.count("<!-- end of run -->") == 1


def test_a_section_says_on_what_it_was_measured(path: pathlib.Path) -> None:
    results.write("run", ["## Run"], load_before=1.26)

    stamp = next(line for line in path.read_text().splitlines() if "UTC" in line)
    for part in ("cores", "GiB", "Linux", "Python 3.", "load average 1.3 before"):
        assert part in stamp
