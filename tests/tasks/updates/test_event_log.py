"""What the engine's event logs leave behind, and when."""

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from components import places
from tasks.updates.event_log import event_log

ROOT = pathlib.Path(__file__).resolve().parents[3]
_READER = """\
import sys
from tasks.updates.event_log import event_log
with event_log() as path:
    print(path, flush=True)
    sys.stdin.read()
"""


class Reader:
    """Another process that reads a log."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        argv = [sys.executable, "-c", _READER]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        self.path = pathlib.Path(self.process.stdout.readline().strip())

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def reader() -> Iterator[Reader]:
    started = Reader()
    yield started
    started.end()


def logs() -> list[pathlib.Path]:
    return sorted((places.cache_dir() / "event-logs").iterdir())


def test_it_is_private_and_goes_at_once() -> None:
    with event_log() as path:
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        path.write_text("{}\n")

    assert logs() == []


def test_it_goes_also_when_reading_fails() -> None:
    with pytest.raises(ZeroDivisionError), event_log():
        raise ZeroDivisionError

    assert logs() == []


def test_what_a_killed_reader_left_goes_with_the_next_and_who_reads_keeps_its_own(reader: Reader) -> None:
    killed = Reader()
    killed.end()
    assert killed.path.exists()

    with event_log() as path:
        assert logs() == sorted((reader.path, path))
