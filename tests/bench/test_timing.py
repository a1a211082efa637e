"""What a sample of a whole process says."""

import sys

import pytest

from bench import timing


def test_a_sample_has_the_seconds_and_the_peak_memory_of_the_command_alone() -> None:
    ballast = bytearray(200 << 20)
    taken = timing.measure([sys.executable, "-c", "b = bytearray(60 << 20); sum(range(1_000_000))"])

    assert taken.cpu_s <= taken.wall_s + 0.1
    assert 60 << 20 < taken.peak_rss_bytes < len(ballast), "the memory of the process that measures is not in it"


def test_a_command_reads_what_another_one_writes() -> None:
    code = "import sys; sys.exit(len(sys.stdin.read().splitlines()) != 1000)"

    timing.measure([sys.executable, "-c", code], piped_from=["seq", "1000"])


def test_a_command_that_fails_stops_the_measurement_with_its_own_words() -> None:
    with pytest.raises(RuntimeError, match="ended with 3:\nno such thing"):
        timing.measure([sys.executable, "-c", "import sys; sys.stderr.write('no such thing'); sys.exit(3)"])


def test_tools_take_turns_and_warm_ups_are_not_counted() -> None:
    order: list[str] = []

    def tool(name: str, seconds: list[float]) -> timing.Sample:
        order.append(name)
        return timing.Sample(seconds.pop(0), 0.1, 1 << 20)

    first, second = [9.0, 1.0, 3.0, 2.0], [9.0, 4.0, 4.0, 4.0]
    medians = timing.interleaved({"a": lambda: tool("a", first), "b": lambda: tool("b", second)}, runs=3)

    assert order == ["a", "b"] * 4
    assert medians["a"] == timing.Summary(2.0, 0.1, 1 << 20, 1.0, 3.0, 3)
