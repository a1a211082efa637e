"""What a review says of machines, from documents alone: in place or anew, why, and nothing that is secret."""

import json
import typing

import hypothesis
import pytest
from hypothesis import strategies as st

from tasks.review import comment, events, page
from tasks.review.comparison import Model, compare
from tasks.review.document import Document, Resource, Step, from_json
from tasks.review.facts import Facts

FLEET = "urn:pulumi:demo::gaxx::gaxx:index:Fleet"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "[secret]"}


def node(index: int, triggers: tuple[str, ...] = ("host", "small", "local"), **enrolled: typing.Any) -> list[Resource]:
    name, parent = f"demo-{index}", f"{FLEET}::demo"
    own = {"node": name}
    return [
        Resource(f"{FLEET}$gaxx:index:LocalNode::{name}", "gaxx:index:LocalNode", name, parent, own),
        Resource(
            f"{FLEET}$gaxx:index:BootstrapIdentity::{name}-identity",
            "gaxx:index:BootstrapIdentity",
            f"{name}-identity",
            parent,
            {**own, "triggers": list(triggers)},
        ),
        Resource(
            f"{FLEET}$gaxx:index:Enrolment::{name}-enrolment",
            "gaxx:index:Enrolment",
            f"{name}-enrolment",
            parent,
            {**own, **enrolled},
        ),
    ]


def side(*nodes: list[Resource], steps: tuple[Step, ...] = (), **more: typing.Any) -> tuple[Document, Facts]:
    fleet = Resource(f"{FLEET}::demo", "gaxx:index:Fleet", "demo", "", {"cloud": "local"})
    resources = (fleet, *(resource for entry in nodes for resource in entry))
    machines = {
        resource.urn: {
            "cloud": "ours", "type": "", "region": "", "image": "", "ttl": "", "hourlyUsd": 0.0, "userDataKnown": False,
        }
        for resource in resources
        if resource.type == "gaxx:index:LocalNode"
    }  # fmt: skip
    document = Document("demo", "abc", "state" if steps else "declared", resources=resources, steps=steps, **more)
    return document, Facts({}, machines, {}, "2025-08", ())


def told(model: Model) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(group.op, group.why, group.nodes) for group in model.groups]


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (("a", "b", "c"), ("a", "b", "c", "10.20.0.0/24"), "private network none → 10.20.0.0/24"),
        (("a", "b", "c", "10.20.0.0/24"), ("a", "b", "c"), "private network 10.20.0.0/24 → none"),
        (("a", "b", "c", "10.20.0.0/24"), ("a", "x", "c", "10.30.0.0/24"),
         "type b → x, private network 10.20.0.0/24 → 10.30.0.0/24"),
    ],
)  # fmt: skip
def test_another_private_network_means_another_machine(
    before: tuple[str, ...], after: tuple[str, ...], why: str
) -> None:
    model = compare(side(node(1, before)), side(node(1, after)))
    assert told(model) == [("replace", why, ("demo-1",))]


def test_settings_change_in_place_and_contents_are_not_told() -> None:
    ada = {"name": "ada", "role": "operator", "sshPublicKey": "ssh-ed25519 AAAA"}
    bob = {"name": "bob", "role": "observer", "sshPublicKey": ""}
    old = node(1, files={"/a": {"content": "first-content"}}, env={"A": "first-value"}, principals=[ada], slots=2)
    new = node(
        1, files={"/a": {"content": "second-content"}, "/b": {}}, env={"B": "second-value"}, principals=[bob], slots=4
    )
    model = compare(side(old), side(new))

    ((op, why, nodes),) = told(model)
    assert (op, nodes) == ("update", ("demo-1",))
    assert "items at once 2 → 4" in why
    assert "operators +bob (observer" in why
    assert "-ada (operator" in why
    assert "environment +B -A" in why
    assert "files +/b ~/a" in why
    text = page.markdown(comment.page(model))
    assert not any(word in text for word in ("-content", "-value", "AAAA"))


def test_another_agent_is_told_by_its_digest() -> None:
    model = compare(side(node(1, agentSource="a" * 64)), side(node(1, agentSource="b" * 64)))

    assert told(model) == [("update", "agent aaaaaaaa → bbbbbbbb", ("demo-1",))]


def test_another_operators_key_is_seen() -> None:
    people = [[{"name": "ada", "role": "operator", "sshPublicKey": f"ssh-ed25519 {key}"}] for key in "AB"]
    model = compare(side(node(1, principals=people[0])), side(node(1, principals=people[1])))

    assert told(model)[0][0] == "update"


def test_what_the_engine_would_do_is_told_by_its_steps() -> None:
    def step(kind: str, name: str, op: str, *why: str) -> Step:
        return Step(f"{FLEET}${kind}::{name}", kind, name, f"{FLEET}::demo", op, why)

    machine, enrolment = "gaxx:index:LocalNode", "gaxx:index:Enrolment"
    steps = (
        step(machine, "demo-1", "same"),
        step(enrolment, "demo-1-enrolment", "update", "packages"),
        step(machine, "demo-2", "create-replacement", "userData"),
        step(machine, "demo-2", "replace", "userData"),
        step(machine, "demo-2", "delete-replaced"),
        step(machine, "demo-3", "create"),
        step(machine, "demo-9", "delete"),
        step(enrolment, "demo-9-enrolment", "delete"),
    )
    model = compare(side(node(1), node(2)), side(node(1), node(2), node(3), steps=steps))

    assert told(model) == [
        ("delete", "", ("demo-9",)),
        ("replace", "userData", ("demo-2",)),
        ("create", "", ("demo-3",)),
        ("update", "packages", ("demo-1",)),
    ]


def logged(index: int, **inputs: typing.Any) -> list[str]:
    """An engine's events about one node."""
    urn = f"{FLEET}$gaxx:index:LocalNode::demo-{index}"
    new = {"urn": urn, "type": "gaxx:index:LocalNode", "parent": f"{FLEET}::demo", "inputs": inputs}
    metadata = {"op": "create", "urn": urn, "type": "gaxx:index:LocalNode", "old": None, "new": new}
    violation = {
        "resourceUrn": urn, "message": "What it protects.\nit is wrong\nfix: mend it\n", "policyName": "some-rule",
        "enforcementLevel": "mandatory",
    }  # fmt: skip
    return [json.dumps({"resourcePreEvent": {"metadata": metadata}}), json.dumps({"policyEvent": violation})]


@hypothesis.given(st.permutations([line for index in range(1, 13) for line in logged(index, n=index)]))
def test_the_order_in_which_an_engine_works_is_not_in_a_document(lines: list[str]) -> None:
    found = events.read(lines)

    assert [resource.name for resource in found.resources] == [f"demo-{index}" for index in range(1, 13)]
    assert {violation.text for violation in found.violations} == {"it is wrong"}
    assert found == events.read(sorted(lines))


def test_a_secret_is_one_word_and_a_document_reads_back_as_it_was() -> None:
    found = events.read([*logged(1, userData=SECRET, nested=[{"key": SECRET}]), '{"resourcePreEvent": {"cut'])
    document = Document("demo", "abc", "declared", resources=found.resources, violations=found.violations)

    assert found.resources[0].props == {"userData": "[secret]", "nested": [{"key": "[secret]"}]}
    assert from_json(json.loads(json.dumps(document.to_json()))) == document


def test_an_engines_error_is_told_without_its_colours() -> None:
    event = {
        "diagnosticEvent": {"severity": "error", "message": "<{%fg 1%}>error: <{%reset%}>\x1b[31mno plugin\x1b[0m"}
    }

    assert events.read([json.dumps(event)]).errors == ("error: no plugin",)
