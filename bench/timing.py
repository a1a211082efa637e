"""Whole processes, timed from outside: wall seconds, seconds of processor time, peak memory.

A child inherits the peak memory of the process that starts it, so samples are started by a bare interpreter
(this file, run with -I -S): about 9 MB is the least that it can report. Tools take turns round by round, so that a
busier machine is busier for all of them.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import typing
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Sample(NamedTuple):
    """One run of one command."""

    wall_s: float
    cpu_s: float
    """User and system time of the process and of all that it waited for; the nodes' side is not in it."""
    peak_rss_bytes: int
    """Of the largest process among them."""


class Summary(NamedTuple):
    """Medians over the counted runs."""

    wall_s: float
    cpu_s: float
    peak_rss_bytes: int
    fastest_s: float
    slowest_s: float
    runs: int


def measure(
    argv: list[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: str | os.PathLike[str] | None = None,
    piped_from: list[str] | None = None,
    keeps: typing.IO[bytes] | None = None,
) -> Sample:
    """Run a command to its end; raise RuntimeError when its exit code is not 0.

    Its stdin is empty, or a pipe from the command `piped_from`; its stderr goes to `keeps`, its stdout nowhere.
    """
    with contextlib.ExitStack() as stack:
        said = keeps or stack.enter_context(tempfile.TemporaryFile())
        given: typing.IO[bytes] | int = subprocess.DEVNULL
        if piped_from:
            feeder = stack.enter_context(subprocess.Popen(piped_from, stdout=subprocess.PIPE))
            # Popen's types do not know that there is a pipe where one was asked for.
            given = typing.cast("typing.IO[bytes]", feeder.stdout)
        reading, writing = os.pipe()
        launcher = [sys.executable, "-I", "-S", __file__, str(writing), *argv]
        process = stack.enter_context(
            subprocess.Popen(
                launcher,
                cwd=folder,
                env=environment,
                stdin=given,
                stdout=subprocess.DEVNULL,
                stderr=said,
                pass_fds=(writing,),
            )
        )
        os.close(writing)
        with os.fdopen(reading) as report:
            text = report.read()
        process.wait()
        code, wall_s, cpu_s, peak_kib = text.split() if text else ("-1", "0", "0", "0")
        if int(code):
            said.seek(0)
            message = f"{' '.join(argv)[:300]} ended with {code}:\n{said.read().decode(errors='replace')[-3000:]}"
            raise RuntimeError(message)
    return Sample(float(wall_s), float(cpu_s), int(peak_kib) * 1024)


def interleaved(tools: Mapping[str, Callable[[], Sample]], *, runs: int, warm_up: int = 1) -> dict[str, Summary]:
    """Let the tools take turns, `warm_up` uncounted rounds and `runs` counted ones."""
    samples: dict[str, list[Sample]] = {name: [] for name in tools}
    for turn in range(warm_up + runs):
        for name, run in tools.items():
            sample = run()
            label = "warm-up" if turn < warm_up else f"run {turn - warm_up + 1}"
            print(f"  {label} {name}: {sample.wall_s:.3f} s", flush=True)
            if turn >= warm_up:
                samples[name].append(sample)
    return {name: summary(taken) for name, taken in samples.items()}


def summary(samples: list[Sample]) -> Summary:
    """Medians, each of its own."""
    walls = [sample.wall_s for sample in samples]
    return Summary(
        statistics.median(walls),
        statistics.median(sample.cpu_s for sample in samples),
        int(statistics.median(sample.peak_rss_bytes for sample in samples)),
        min(walls),
        max(walls),
        len(samples),
    )


def _launch(report: int, argv: list[str]) -> None:
    os.set_inheritable(report, False)
    began = time.monotonic()
    process = os.posix_spawnp(argv[0], argv, os.environ)
    _, status, usage = os.wait4(process, 0)
    wall_s = time.monotonic() - began
    cpu_s = usage.ru_utime + usage.ru_stime
    os.write(report, f"{os.waitstatus_to_exitcode(status)} {wall_s} {cpu_s} {usage.ru_maxrss}".encode())


if __name__ == "__main__":
    _launch(int(sys.argv[1]), sys.argv[2:])
