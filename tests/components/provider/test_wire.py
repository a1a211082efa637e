"""Property maps survive the way to the engine and back."""

import typing

from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from components.provider.wire import UNKNOWN, contains_unknown, decode, encode

scalars = st.one_of(st.booleans(), st.integers(-(2**53), 2**53), st.text(), st.just(UNKNOWN))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1), inner, max_size=4)
)


@given(st.dictionaries(st.text(min_size=1), values, max_size=5), st.data())
def test_what_is_encoded_is_decoded_again_secrets_and_unknowns_included(
    properties: dict[str, typing.Any], data: st.DataObject
) -> None:
    secrets = frozenset(data.draw(st.sets(st.sampled_from(sorted(properties))))) if properties else frozenset()

    decoded = decode(encode(properties, secrets))

    assert decoded.values == properties
    assert decoded.secrets == secrets


def test_an_absent_value_is_not_sent() -> None:
    assert decode(encode({"a": None, "b": 1}, frozenset())).values == {"b": 1}


def test_a_secret_deep_inside_makes_its_property_secret() -> None:
    struct = struct_pb2.Struct()
    inner = encode({"token": "t"}, frozenset({"token"}))
    struct.fields["principals"].list_value.values.add().struct_value.CopyFrom(inner)

    decoded = decode(struct)

    assert decoded.values == {"principals": [{"token": "t"}]}
    assert decoded.secrets == {"principals"}


def test_an_unknown_is_found_at_any_depth() -> None:
    assert contains_unknown({"a": [{"b": UNKNOWN}]})
    assert not contains_unknown({"a": [{"b": "known"}]})
