"""Which nodes the next try of an update does without, after a cloud refused machines."""

import json
import pathlib

import pytest

from tasks.updates.doing_without import Failure, failures, spared

NONE: frozenset[str] = frozenset()
FLEETS = [{"name": "west", "nodes": 4, "enough": 2}, {"name": "east", "nodes": 2}]


def refused(node: str, kind: str = "linode:index/instance:Instance") -> Failure:
    return Failure("create", kind, node)


def test_machines_that_were_refused_are_done_without_as_long_as_enough_are_left() -> None:
    first = spared(FLEETS, [refused("west-2")], NONE)
    assert first == {"west-2"}
    second = spared(FLEETS, [refused("west-4")], first)
    assert second == {"west-2", "west-4"}
    assert spared(FLEETS, [refused("west-1")], second) == NONE, "one more is one too many"


def test_a_machine_whose_record_failed_is_named_by_its_node() -> None:
    assert spared(FLEETS, [refused("west-3-machine", "gaxx:index:CloudMachine")], NONE) == {"west-3"}


@pytest.mark.parametrize(
    "failed",
    [
        [],
        [refused("east-1")],
        [refused("north-1")],
        [Failure("update", "linode:index/instance:Instance", "west-1")],
        [Failure("delete", "vultr:index/instance:Instance", "west-1")],
        [refused("west-2"), Failure("create", "linode:index/firewall:Firewall", "west")],
        [Failure("create", "gaxx:index:Enrolment", "west-1-enrolment")],
    ],
)
def test_nothing_is_done_without_when_something_else_failed_or_all_are_needed(failed: list[Failure]) -> None:
    assert spared(FLEETS, failed, NONE) == NONE


def test_a_machine_that_fails_although_it_was_left_out_ends_the_tries() -> None:
    assert spared(FLEETS, [refused("west-2")], frozenset({"west-2"})) == NONE


def test_failures_are_read_from_the_engines_event_log(tmp_path: pathlib.Path) -> None:
    about = {
        "op": "create",
        "type": "vultr:index/instance:Instance",
        "urn": "urn:pulumi:prod::gaxx::gaxx:index:Fleet$vultr:index/instance:Instance::west-2",
    }
    lines = [{"preludeEvent": {}}, {"resOpFailedEvent": {"metadata": about, "status": 2, "steps": 1}}]
    log = tmp_path / "events"
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + '{"resOpFailedEvent": {"meta')
    assert failures(log) == (Failure("create", "vultr:index/instance:Instance", "west-2"),)
