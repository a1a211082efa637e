"""Sections of RESULTS.md: each script replaces its own, between markers, and leaves the rest as it is."""

import datetime as dt
import os
import pathlib
import platform
import re

PATH = pathlib.Path(__file__).resolve().parent / "RESULTS.md"
_HEADER = """# Measurements

Made by `make bench` (or one of them by `make bench BENCH=run`), which writes the sections below and nothing else. Every
script sets up its own throw-away stack through the real Pulumi engine and takes it down again; nothing leaves loopback.
Tools that are compared take turns on the same machine; figures are medians, and the ratios are what carries over to
other machines. Where GNU parallel, pssh or clush is not installed, its row is missing and the text says so.
"""


def write(section: str, lines: list[str], *, load_before: float) -> None:
    """Replace the section called `section`; `load_before` is the load average when its measurement began."""
    begin, end = f"<!-- {section} -->", f"<!-- end of {section} -->"
    text = PATH.read_text(encoding="utf-8") if PATH.exists() else _HEADER
    body = "\n".join([begin, *lines, "", _stamp(load_before), end])
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    text = pattern.sub(lambda _: body, text) if pattern.search(text) else f"{text.rstrip()}\n\n{body}\n"
    PATH.write_text(text, encoding="utf-8")
    print("\n".join(lines))


def table(columns: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table; all columns but the first are numbers."""
    rule = ["---", *("---:" for _ in columns[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows)]


def mib(size_bytes: float) -> str:
    """Bytes as MiB."""
    return f"{size_bytes / (1 << 20):.0f}"


def load() -> float:
    """The load average of the last minute."""
    return os.getloadavg()[0]


def _stamp(load_before: float) -> str:
    return (
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC; {_processor()}, {os.cpu_count()} cores, "
        f"{_memory_gib():.0f} GiB; "
        f"Linux {platform.release()}; Python {platform.python_version()}; "
        f"load average {load_before:.1f} before, {load():.1f} after."
    )


def _processor() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
