"""The rules as Pulumi policies."""

import functools
import threading
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence

import pulumi
import pulumi_policy

from policy.declared import Declared, plain
from policy.rule import Rule
from policy.rulebook import RULES

NAME = "gaxx"
_LEVELS = {
    "advisory": pulumi_policy.EnforcementLevel.ADVISORY,
    "mandatory": pulumi_policy.EnforcementLevel.MANDATORY,
}
Report = Callable[..., None]


def main() -> None:
    """Serve the engine until it goes."""
    stack_regions = _stack_regions()
    declared = _SoFar()
    pulumi_policy.PolicyPack(NAME, [_policy(rule, stack_regions, declared) for rule in RULES])


def _policy(rule: Rule, stack_regions: Sequence[str], declared: "_SoFar") -> pulumi_policy.Policy:
    def settings(given: Mapping[str, typing.Any]) -> Mapping[str, typing.Any]:
        of_stack = {"stackRegions": list(stack_regions)} if "stackRegions" in rule.parameters else {}
        return rule.settings({**given, **of_stack})

    def judge_one(args: pulumi_policy.ResourceValidationArgs, report: Report) -> None:
        resource = _declared(args)
        if rule.one is not None:
            _report(rule, functools.partial(rule.one, resource, settings(args.get_config())), report)
        elif rule.growing is not None:
            so_far = declared.with_newest(rule.name, resource)
            _report(rule, functools.partial(rule.growing, so_far, settings(args.get_config())), report)

    def judge_stack(args: pulumi_policy.StackValidationArgs, report: Report) -> None:
        resources = [_declared(resource) for resource in args.resources]
        if rule.stack is not None:
            _report(rule, functools.partial(rule.stack, resources, settings(args.get_config())), report)

    make: typing.Any = pulumi_policy.StackValidationPolicy if rule.stack else pulumi_policy.ResourceValidationPolicy
    policy: pulumi_policy.Policy = make(
        name=rule.name,
        description=f"{rule.protects[0].upper()}{rule.protects[1:]}.",
        validate=judge_stack if rule.stack else judge_one,
        enforcement_level=_LEVELS[rule.level],
        config_schema=_schema(rule),
        remediation_steps=f"{rule.fix[0].upper()}{rule.fix[1:]}.",
    )
    return policy


def _report(rule: Rule, judge: Callable[[], Iterable[str]], report: Report) -> None:
    """Report each breach with its fix; a rule that breaks has not been passed."""
    try:
        found = list(judge())
    except Exception as error:  # noqa: BLE001 - whatever it is, it must refuse rather than end as advice or a traceback
        found = [f"the rule could not judge it ({type(error).__name__}: {error}), so it is refused"]
    for text in found:
        report(f"{text}\nfix: {rule.fix}")


def _declared(resource: typing.Any) -> Declared:
    """What pulumi-policy gives, in plain values."""
    props = plain(resource.props)
    parent = resource.opts.parent
    return Declared(
        type=resource.resource_type,
        name=resource.name,
        props=typing.cast("Mapping[str, object]", props),
        urn=resource.urn,
        parent=parent if isinstance(parent, str) else "",
        protected=bool(resource.opts.protect),
        links={
            key: tuple(target.urn for target in targets)
            for key, targets in getattr(resource, "property_dependencies", {}).items()
        },
    )


def _schema(rule: Rule) -> pulumi_policy.PolicyConfigSchema | None:
    # What the stack itself says is no parameter of the pack.
    properties = {
        name: {**parameter.schema, "default": parameter.default, "description": parameter.description}
        for name, parameter in rule.parameters.items()
        if name != "stackRegions"
    }
    return pulumi_policy.PolicyConfigSchema(properties=properties) if properties else None


def _stack_regions() -> list[str]:
    """`gaxx:allowedRegions` of the stack: one process judges one stack."""
    for key, value in pulumi.runtime.get_config_env().items():
        pulumi.runtime.set_config(key, value)
    regions = pulumi.Config("gaxx").get_object("allowedRegions")
    return [str(region) for region in regions] if isinstance(regions, list) else []


class _SoFar:
    """The resources of this update that a rule was asked about; the engine asks from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of_rule: dict[str, dict[str, Declared]] = {}

    def with_newest(self, rule: str, resource: Declared) -> list[Declared]:
        with self._lock:
            known = self._of_rule.setdefault(rule, {})
            known.pop(resource.urn, None)
            known[resource.urn] = resource
            return list(known.values())


__all__ = ["NAME", "main"]
