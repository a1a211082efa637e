"""The rules as Pulumi runs them: through the SDK's own server, over gRPC messages as the engine sends them."""

import re
import typing
from collections.abc import Mapping

import pulumi_policy
import pulumi_policy.proxy
import pytest
from google.protobuf import struct_pb2
from pulumi.runtime import proto
from pulumi_policy.policy import _PolicyAnalyzerServicer

from policy import pack
from policy.declared import UNKNOWN, Declared, plain
from policy.rule import Rule
from policy.rulebook import RULES
from tests.policy.examples import RULE, linode, linode_firewall, local, user_data

UNKNOWN_TEXT = pulumi_policy.proxy.UNKNOWN_STRING_VALUE


@pytest.fixture
def servicer(monkeypatch: pytest.MonkeyPatch) -> typing.Any:
    """The pack's server, without a port."""
    made: list[typing.Any] = []

    def keep(name: str, policies: list[pulumi_policy.Policy], **more: object) -> None:
        assert not more
        made.append(_PolicyAnalyzerServicer(name, "0.1.0", policies, pulumi_policy.EnforcementLevel.ADVISORY))

    monkeypatch.setattr(pulumi_policy, "PolicyPack", keep)
    pack.main()
    return made[0]


def wire(value: object) -> object:
    """A value as the engine sends it."""
    if value is UNKNOWN:
        return UNKNOWN_TEXT
    if isinstance(value, Mapping):
        return {key: wire(item) for key, item in value.items()}
    return [wire(item) for item in value] if isinstance(value, list) else value


def analyze(servicer: typing.Any, resource: Declared) -> list[typing.Any]:
    properties = struct_pb2.Struct()
    properties.update(typing.cast("typing.Any", wire(resource.props)))
    options = proto.AnalyzerResourceOptions(protect=resource.protected)
    request = proto.AnalyzeRequest(
        type=resource.type, properties=properties, urn=resource.urn, name=resource.name, options=options
    )
    return list(servicer.Analyze(request, None).diagnostics)


def mandatory(diagnostics: list[typing.Any]) -> dict[str, str]:
    return {d.policyName: d.message for d in diagnostics if d.enforcementLevel == proto.MANDATORY}


def test_a_good_machine_draws_nothing(servicer: typing.Any) -> None:
    assert analyze(servicer, linode()) == []
    assert analyze(servicer, local()) == []
    assert analyze(servicer, linode_firewall()) == []


def test_a_violation_bears_the_rules_name_what_is_wrong_and_its_fix(servicer: typing.Any) -> None:
    found = mandatory(analyze(servicer, linode(image="linode/latest")))

    assert set(found) == {"image-pinned"}
    assert "linode/latest is not pinned" in found["image-pinned"]
    assert f"fix: {RULE['image-pinned'].fix}" in found["image-pinned"]


@pytest.mark.parametrize(
    ("resource", "rule"),
    [
        (linode(region=UNKNOWN), "region-allowed"),
        (linode(image=UNKNOWN), "image-pinned"),
        (linode(tags=[UNKNOWN]), "ttl-limited"),
        (linode(type=UNKNOWN), "hourly-budget"),
        (linode_firewall(inbounds=UNKNOWN), "profiler-port-closed"),
        (linode_firewall(inboundPolicy=UNKNOWN), "inbound-default-drop"),
    ],
)
def test_an_unknown_that_must_be_plain_stays_mandatory(servicer: typing.Any, resource: Declared, rule: str) -> None:
    # The SDK by itself would turn it into advice.
    assert rule in mandatory(analyze(servicer, resource))


def test_unknown_user_data_draws_no_violation_and_no_noise(servicer: typing.Any) -> None:
    assert analyze(servicer, local(userData=UNKNOWN)) == []


def test_a_rule_that_breaks_refuses(servicer: typing.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(resource: Declared) -> None:
        raise ZeroDivisionError(resource.name)

    monkeypatch.setattr("policy.tag_rules.machine", broken)

    assert "could not judge it (ZeroDivisionError" in mandatory(analyze(servicer, linode()))["ttl-limited"]


def test_levels_and_parameters_come_from_the_configuration(servicer: typing.Any) -> None:
    parameters = struct_pb2.Struct()
    parameters.update({"longest": "1h"})
    request = proto.ConfigureAnalyzerRequest(
        policyConfig={
            "ttl-limited": proto.PolicyConfig(enforcementLevel=proto.ADVISORY, properties=parameters),
            "image-pinned": proto.PolicyConfig(enforcementLevel=proto.DISABLED),
        }
    )
    servicer.Configure(request, None)
    (found,) = analyze(servicer, linode(image="linode/latest"))

    assert (found.policyName, found.enforcementLevel) == ("ttl-limited", proto.ADVISORY)


def test_the_stacks_own_regions_are_judged_too(servicer: typing.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    del servicer
    made: list[typing.Any] = []
    monkeypatch.setenv("PULUMI_CONFIG", '{"gaxx:allowedRegions": "[\\"de-fra-2\\"]"}')
    monkeypatch.setattr(
        pulumi_policy,
        "PolicyPack",
        lambda name, policies: made.append(
            _PolicyAnalyzerServicer(name, "0.1.0", policies, pulumi_policy.EnforcementLevel.ADVISORY)
        ),
    )
    pack.main()

    assert set(mandatory(analyze(made[0], linode()))) == {"region-allowed"}
    assert analyze(made[0], linode(region="de-fra-2")) == []


def test_the_engine_learns_each_parameter_with_its_default(servicer: typing.Any) -> None:
    info = {policy.name: policy for policy in servicer.GetAnalyzerInfo(None, None).policies}

    assert list(info) == [rule.name for rule in RULES]
    assert info["node-budget"].configSchema.properties["nodes"]["default"] == 500
    assert "stackRegions" not in info["region-allowed"].configSchema.properties


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_says_what_it_protects_and_how_to_fix(rule: Rule) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name)
    assert sum(judge is not None for judge in (rule.one, rule.stack, rule.growing)) == 1
    for text in (rule.protects, rule.fix):
        assert len(text) > 20
        assert not text.endswith(".")


def test_names_of_rules_are_unique() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_plain_values_keep_what_is_unknown() -> None:
    given = {"a": [1.0, UNKNOWN_TEXT, {"b": pulumi_policy.proxy.UNKNOWN_ARRAY_VALUE}], "c": 1.5, "d": user_data()}
    proxied = pulumi_policy.proxy.unknown_checking_proxy(given)

    expected = {"a": [1, UNKNOWN, {"b": UNKNOWN}], "c": 1.5, "d": user_data()}
    assert plain(proxied) == expected
    assert plain(given) == expected
