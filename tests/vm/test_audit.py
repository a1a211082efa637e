"""The audit trail of a machine of its own: who came over SSH is in it, and only its agent gets at it."""

import json
from typing import Any

import pytest

from tests.stack.project import Project
from tests.waiting import until

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]


def records(vm: Project, *argv: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in vm.gaxx("audit", "--json", *argv).stdout.splitlines()]


def test_who_came_over_ssh_is_in_the_trail_by_key_and_certificate(vm: Project) -> None:
    vm.gaxx("run", "--via", "ssh", "--", "true")

    def ended() -> bool:
        return "end" in {line["event"] for line in records(vm, "--kind", "ssh", "--principal", "gaxx")}

    until(ended, deadline_s=60)
    lines = records(vm, "--kind", "ssh")
    by_user = {line["user"]: line for line in lines if line["event"] == "begin"}
    assert by_user["gaxx"]["key"].startswith("ED25519 SHA256:")
    assert by_user["gaxx"]["at"].endswith("Z")
    # Enrolment itself, from before the agent was there.
    assert "gaxx-enrol" in by_user


def test_nobody_but_the_agent_gets_at_the_trail(vm: Project) -> None:
    assert vm.gaxx("run", "--", "ls", "/var/lib/gaxx/audit", check=3).stderr.count("Permission denied") == 1
    assert vm.gaxx("run", "--via", "ssh", "--", "ls", "/var/lib/gaxx/audit", check=3).code == 3
    vm.gaxx("audit", "verify")
