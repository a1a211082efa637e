"""What a person sees while an engine is built."""

import io
import re

import pytest

from tests.waiting import until
from tools.engine import progress


class Terminal(io.StringIO):
    """Takes what is written, and is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_one_line_that_is_drawn_over_and_wiped_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "TERMINAL_INTERVAL_S", 0.001)
    stream = Terminal()
    with progress.Progress("building", stream) as shown:
        shown.say("package 3 of 9")
        until(lambda: "package 3 of 9" in stream.getvalue())
    text = stream.getvalue()
    assert re.search(r"\r\x1b\[Kbuilding: package 3 of 9 \(0:0\d\)", text)
    assert "\n" not in text
    assert text.endswith("\r\x1b[K")


def test_a_log_gets_whole_lines_without_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOG_INTERVAL_S", 0.001)
    stream = io.StringIO()
    with progress.Progress("building", stream) as shown:
        shown.say("package 3 of 9")
        until(lambda: "package 3 of 9" in stream.getvalue())
    assert re.fullmatch(r"(building[^\n\r\x1b]*\n)+", stream.getvalue())


def test_something_that_is_over_quickly_says_nothing_to_a_log() -> None:
    stream = io.StringIO()
    with progress.Progress("building", stream):
        pass
    assert stream.getvalue() == ""
