"""The Pulumi package: its schema, and a program of somebody else that uses it."""

import json
import typing
from collections.abc import Iterator

import pytest
import yaml

from components.authority import Authority
from tests.stack import remains
from tests.stack.people import owner
from tests.stack.project import ROOT, Project

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

COMPONENTS = {"Firewall", "Fleet"}
RESOURCES = {
    "BootstrapIdentity",
    "CloudFirewall",
    "CloudMachine",
    "CloudNetwork",
    "Enrolment",
    "Inventory",
    "LocalNode",
    "OperatorCertificate",
    "QemuNode",
    "Quorum",
    "Sweep",
}
SECRETS = {
    "BootstrapIdentity": {"hostPrivateKey", "userPrivateKey"},
    "Enrolment": {"bootstrapPrivateKey"},
    "Inventory": {"document", "principals"},
    "LocalNode": {"userData"},
    "OperatorCertificate": {"token"},
    "QemuNode": {"userData"},
}
PROGRAM = '''"""Declares a fleet through the plugin, and knows nothing of its source."""

import json
import pathlib

import pulumi


class Fleet(pulumi.ComponentResource):
    nodes: pulumi.Output[list]

    def __init__(self, name, arguments, opts):
        super().__init__("gaxx:index:Fleet", name, {"nodes": None, **arguments}, opts, remote=True)


key = pulumi.Config("gaxx").require_secret("authorityKey")
provider = pulumi.ProviderResource("gaxx", "gaxx", {"authorityKey": key})
operator = json.loads(pathlib.Path("operator.json").read_text())
arguments = {"nodes": 2, "env": {"COLOUR": "teal"}, "operators": [operator]}
fleet = Fleet("away", arguments, pulumi.ResourceOptions(providers=[provider]))
pulumi.export("nodes", fleet.nodes)
'''


@pytest.fixture
def schema(project: Project) -> dict[str, typing.Any]:
    loaded: dict[str, typing.Any] = json.loads(project.pulumi("package", "get-schema", "./components").stdout)
    return loaded


def properties(entry: dict[str, typing.Any]) -> Iterator[tuple[str, dict[str, typing.Any]]]:
    for group in ("inputProperties", "properties"):
        yield from entry.get(group, {}).items()


def test_the_schema_describes_every_property_of_every_resource(schema: dict[str, typing.Any]) -> None:
    resources = {token.rpartition(":")[2]: entry for token, entry in schema["resources"].items()}

    assert resources.keys() == COMPONENTS | RESOURCES
    assert {name for name, entry in resources.items() if entry.get("isComponent")} == COMPONENTS
    for name, entry in {**resources, "the provider": schema["provider"]}.items():
        assert entry["description"], name
        for key, spec in properties(entry):
            assert spec.get("description"), f"{name}.{key} is described"
            assert "type" in spec or "$ref" in spec, f"{name}.{key} has a type"
    for name, entry in resources.items():
        assert set(entry.get("requiredInputs", [])) <= set(entry["inputProperties"]), name
        assert entry.get("requiredInputs"), f"{name} says what it needs"
    assert schema["description"]
    assert schema["license"] == "MIT"


def test_the_schema_marks_every_secret(schema: dict[str, typing.Any]) -> None:
    marked = {
        token.rpartition(":")[2]: {key for key, spec in properties(entry) if spec.get("secret")}
        for token, entry in schema["resources"].items()
    }

    assert {name: keys for name, keys in marked.items() if keys} == SECRETS
    assert schema["config"]["variables"]["authorityKey"]["secret"] is True
    assert schema["provider"]["inputProperties"]["authorityKey"]["secret"] is True


def test_a_program_of_another_project_uses_the_fleet_through_the_plugin(project: Project) -> None:
    for path in project.folder.iterdir():
        if path.is_symlink() and path.name != ".venv":
            path.unlink()
    settings = yaml.safe_load((project.folder / "Pulumi.yaml").read_text())
    settings["name"] = "elsewhere"
    settings["plugins"]["providers"][0]["path"] = str(ROOT / "components")
    (project.folder / "Pulumi.yaml").write_text(yaml.safe_dump(settings))
    (project.folder / "__main__.py").write_text(PROGRAM)
    (project.folder / "operator.json").write_text(json.dumps(owner(project).entry()))
    project.create("demo", {})
    project.pulumi("config", "set", "--secret", "gaxx:authorityKey", stdin=Authority.create("demo").pem)

    project.up()

    nodes = json.loads(project.pulumi("stack", "output", "nodes", "--json").stdout)
    assert [node["name"] for node in nodes] == ["away-1", "away-2"]
    addresses = [node["address"] for node in nodes]
    expected = {f"{address}:{port}" for address in addresses for port in (2222, 8088, 9091)}
    assert remains.listening(addresses) == expected
    assert json.loads((project.machine("away-1") / "etc/gaxx/manifest.json").read_text())["env"] == {"COLOUR": "teal"}
    project.pulumi("preview", "--expect-no-changes")
    project.destroy()
    assert remains.listening(addresses) == set()
