"""`gaxx doctor` asks the vendors what a token is good for, and only where one is in the environment."""

import json

import pytest

from tasks.rehearsal.service import Rehearsal
from tests.clouds.service import served
from tests.stack.project import Project

pytestmark = pytest.mark.clouds


def tokens(project: Project) -> dict[str, dict[str, str]]:
    """What it says of tokens; machine and stack are another test's business."""
    lines = [json.loads(line) for line in project.gaxx("doctor", "--json", check=None).stdout.splitlines()]
    return {line["name"]: line for line in lines if line["name"].endswith(" token")}


def lead(project: Project, rehearsal: Rehearsal, **more: str) -> None:
    """Have the project ask the rehearsal."""
    project.environment.update({**rehearsal.environment(), **more})


def test_a_token_is_asked_for_what_it_may_by_calls_that_change_nothing(project: Project) -> None:
    assert tokens(project) == {}, "without a token nobody is asked"
    with served() as rehearsal:
        lead(project, rehearsal)
        found = tokens(project)
        assert {name: one["state"] for name, one in found.items()} == {"linode token": "ok", "vultr token": "ok"}
        assert found["linode token"]["text"] == "of rehearsal, may all that fleets need"
        assert {line.split()[0] for line in rehearsal.calls.lines} == {"GET"}


def test_a_wrong_token_is_said_and_never_shown(project: Project) -> None:
    with served() as rehearsal:
        lead(project, rehearsal, LINODE_TOKEN="f" * 64, VULTR_API_KEY="e" * 36)
        done = project.gaxx("doctor", check=1)
    assert "linode: GET profile: Invalid Token" in done.stdout
    assert "vultr: GET account: Invalid API token" in done.stdout
    assert "f" * 64 not in done.text
    assert "e" * 36 not in done.text


def test_a_vendor_that_does_not_answer_is_one_line_and_soon(project: Project) -> None:
    project.environment.update({"LINODE_TOKEN": "f" * 64, "LINODE_URL": "http://127.0.0.1:9"})
    (found,) = tokens(project).values()
    assert found["state"] == "fail"
    assert "refused" in found["text"]
    assert "LINODE_TOKEN" in found["fix"]
