"""A declared jump host reaches enrolment and inventory of machines elsewhere, and of no machine on this computer."""

import json
import os
import pathlib
import subprocess
import sys
import typing

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def declared(address: str, jump_host: str) -> tuple[dict[str, typing.Any], dict[str, typing.Any]]:
    """Inputs of the enrolment, and the node as the inventory has it."""
    # In a process of its own: mocks are the whole process's.
    done = subprocess.run(
        (sys.executable, "-m", "tests.components.declared_fleet", address, jump_host),
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return found["enrolment"], found["node"]


def test_a_machine_elsewhere_is_enrolled_and_used_through_it() -> None:
    enrolment, node = declared("192.0.2.9", "ada@bastion")
    assert enrolment["jumpHost"] == node["jump_host"] == "ada@bastion"


@pytest.mark.parametrize("address", ["127.3.4.5", "::1"])
def test_what_rehearses_a_vendors_machine_on_this_computer_is_reached_directly(address: str) -> None:
    enrolment, node = declared(address, "ada@bastion")
    assert enrolment["jumpHost"] == node["jump_host"] == ""


def test_a_stack_without_one_says_nothing_of_it() -> None:
    enrolment, node = declared("192.0.2.9", "")
    assert "jumpHost" not in enrolment
    assert "jump_host" not in node
