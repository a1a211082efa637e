"""The package schema: our resources beside the components that Pulumi's analyzer finds."""

import json
import typing

from components.provider.resource import Property, Resource

Json = dict[str, typing.Any]

CONFIG: typing.Final[Json] = {
    "variables": {
        "authorityKey": {
            "type": "string",
            "description": "PEM of the stack's authority: its private key and certificate. Made by `gaxx init`.",
            "secret": True,
        },
        "previousAuthorityKey": {
            "type": "string",
            "description": "PEM of the authority that authorityKey takes over from: trusted until it is removed.",
            "secret": True,
        },
    }
}


def merge(component_schema: str, resources: tuple[Resource, ...]) -> str:
    """Return the schema of the components with our resources and configuration added."""
    schema: Json = json.loads(component_schema)
    schema["description"] = "Ephemeral VM fleets: machines, firewalls, enrolment, and their inventory."
    schema["displayName"] = "Gaxx"
    schema["license"] = "MIT"
    schema["config"] = CONFIG
    schema["provider"] = {
        "description": "Makes, enrols, mends and removes the machines of a stack.",
        "inputProperties": CONFIG["variables"],
        "properties": CONFIG["variables"],
    }
    for resource in resources:
        schema.setdefault("resources", {})[resource.pulumi_type] = _resource(resource)
    return json.dumps(schema, sort_keys=True)


def _resource(resource: Resource) -> Json:
    everything = {**resource.inputs, **resource.outputs}
    return {
        "description": resource.description,
        "inputProperties": {name: _property(spec) for name, spec in resource.inputs.items()},
        "requiredInputs": sorted(name for name, spec in resource.inputs.items() if spec.required),
        "properties": {name: _property(spec) for name, spec in everything.items()},
        "required": sorted(name for name, spec in everything.items() if spec.required),
    }


def _property(spec: Property) -> Json:
    described: Json = {**_type(spec), "description": spec.description}
    if spec.secret:
        described["secret"] = True
    if spec.replaces:
        described["willReplaceOnChanges"] = True
    return described


def _type(spec: Property) -> Json:
    if spec.type == "array":
        return {"type": "array", "items": _type(spec.items) if spec.items else {"$ref": "pulumi.json#/Any"}}
    if spec.type == "object":
        return {
            "type": "object",
            "additionalProperties": _type(spec.items) if spec.items else {"$ref": "pulumi.json#/Any"},
        }
    return {"type": spec.type}
