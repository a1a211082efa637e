"""Security updates in the background: what becomes of them where nobody answers."""

import pathlib
import socket

import pytest

from agent.install import upkeep
from agent.install.upkeep_units import NO_ANSWER_STATUS
from tests.agent.install.apt_machine import Machine
from tests.apt_repository import served


def test_without_a_repository_that_answers_nothing_is_done_and_the_one_is_named(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(tmp_path / "repository") as repository:
        machine = Machine(tmp_path / "root", repository)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
    machine.sources.write_text(f"deb [trusted=yes] {nowhere} ./\n")

    assert upkeep.keep_up(machine.apt()) == NO_ANSWER_STATUS

    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"no repository answers, nothing is updated: {nowhere} (Could not connect")
    assert machine.versions() == {}
