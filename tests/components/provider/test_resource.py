"""Check and diff follow from the declared properties."""

import typing
from collections.abc import Mapping

import pytest

from components.provider.context import Context, EngineLog
from components.provider.resource import Created, Difference, Property, Resource
from components.provider.serve import RESOURCES
from components.provider.wire import UNKNOWN, Properties

CONTEXT = Context("urn:pulumi:demo::gaxx::gaxx:index:Sweep::sweep", EngineLog(""), "")


class Lamp(Resource):
    """A resource for the tests, with a property of each kind."""

    pulumi_type = "gaxx:index:Lamp"
    description = "A lamp."
    inputs: typing.ClassVar[Mapping[str, Property]] = {
        "place": Property("string", "where it stands", replaces=True),
        "watts": Property("integer", "how bright it is"),
        "names": Property("array", "what it is called", required=False, items=Property("string", "a name")),
    }
    outputs: typing.ClassVar[Mapping[str, Property]] = {
        "serial": Property("string", "what is printed on it"),
        "burning": Property("boolean", "whether it burns"),
    }
    volatile = frozenset({"burning"})

    def drift(self, context: Context, state: Properties) -> Difference:
        del context
        return Difference(updates=() if state.get("burning", True) else ("burning",))

    async def create(self, context: Context, inputs: Properties) -> Created:
        raise NotImplementedError

    async def update(self, context: Context, resource_id: str, state: Properties, news: Properties) -> Properties:
        raise NotImplementedError

    async def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        raise NotImplementedError


LAMP = Lamp()
OLD: Properties = {"place": "hall", "watts": 5}


def test_all_faults_of_the_inputs_are_told_at_once() -> None:
    faults = LAMP.check({"watts": "five", "colour": "red", "names": ["a", 1]})

    assert {fault.property for fault in faults} == {"place", "watts", "colour", "names"}


def test_a_boolean_is_no_number() -> None:
    assert [fault.property for fault in LAMP.check({"place": "hall", "watts": True})] == ["watts"]


def test_an_unknown_input_is_accepted_until_it_is_known() -> None:
    assert LAMP.check({"place": UNKNOWN, "watts": UNKNOWN}) == []


def test_a_changed_property_replaces_only_where_it_says_so() -> None:
    assert LAMP.diff(CONTEXT, OLD, OLD, {"place": "hall", "watts": 7}) == Difference(updates=("watts",))
    assert LAMP.diff(CONTEXT, OLD, OLD, {"place": "attic", "watts": 5}) == Difference(replaces=("place",))


def test_an_empty_list_and_an_absent_one_are_the_same_wish() -> None:
    assert LAMP.diff(CONTEXT, OLD, OLD, {**OLD, "names": []}) == Difference()


def test_a_drifted_output_is_mended_by_an_update() -> None:
    assert LAMP.diff(CONTEXT, OLD, {**OLD, "burning": False}, OLD) == Difference(updates=("burning",))


def test_a_preview_of_an_update_keeps_what_an_update_cannot_change() -> None:
    previewed = LAMP.preview_updated({**OLD, "serial": "x1", "burning": False}, {**OLD, "watts": 7})

    assert previewed == {"place": "hall", "watts": 7, "serial": "x1", "burning": UNKNOWN}


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.pulumi_type)
def test_every_property_of_every_resource_is_described(resource: Resource) -> None:
    for name, spec in {**resource.inputs, **resource.outputs}.items():
        assert spec.description, f"{resource.pulumi_type}.{name} has no description"
    assert not set(resource.inputs) & set(resource.outputs), "an output never shadows an input"
