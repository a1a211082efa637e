"""The phases of an update, from the engine's events."""

import typing

from bench import up

_FLEET = "urn:pulumi:s::p::gaxx:index:Fleet$"


def _begin(urn: str) -> dict[str, typing.Any]:
    return {"resourcePreEvent": {"metadata": {"urn": urn}}}


def _end(urn: str) -> dict[str, typing.Any]:
    return {"resOutputsEvent": {"metadata": {"urn": urn}}}


def _says(urn: str, message: str) -> dict[str, typing.Any]:
    return {"diagnosticEvent": {"urn": urn, "message": message}}


def test_phases_are_told_apart_by_the_kind_of_resource() -> None:
    provider = "urn:pulumi:s::p::pulumi:providers:gaxx::gaxx"
    node, enrolment = f"{_FLEET}gaxx:index:LocalNode::a-1", f"{_FLEET}gaxx:index:Enrolment::a-1-enrolment"
    events = [
        (0.5, {"preludeEvent": {}}),
        (1.0, _begin("urn:pulumi:s::p::pulumi:pulumi:Stack::p-s")),
        (1.2, _begin(provider)),
        (2.5, _end(provider)),
        (3.0, _begin(node)),
        (3.5, _end(node)),
        (4.0, _begin(enrolment)),
        (4.0, _says(enrolment, "waiting for SSH on 127.0.0.1:2222\n")),
        (4.25, _says(enrolment, "exchanging keys\n")),
        (6.0, _end(enrolment)),
    ]

    seconds, steps = up.phases(7.5, events)

    assert seconds == {
        "engine and program start": 1.0,
        "provider start": 1.5,
        "boot": 0.5,
        "enrol": 2.0,
        "inventory and end": 1.5,
    }
    assert steps == {"log-in, facts": [0.25], "keys, certificate, manifest, start of the agent": [1.75]}
