"""The schema that editors complete by knows what the program reads: the same keys, the same closed sets."""

import copy
import json
import pathlib
import typing

import jsonschema
import pytest
import yaml

from components import cloud_table, declared_content, fleet_settings, operators
from components.fleet_settings import CLOUD_NAMES, REACHES
from components.settings import KEYS
from components.settings_reader import parse_duration

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA: dict[str, typing.Any] = json.loads((ROOT / "stacks/schema.json").read_text())
CONFIG = SCHEMA["properties"]["config"]["properties"]
FLEET = SCHEMA["$defs"]["fleet"]["properties"]
OPERATOR = SCHEMA["$defs"]["operator"]["properties"]
STACKS = sorted((ROOT / "stacks").rglob("Pulumi.*.yaml"))
DIGEST = "0123456789abcdef" * 4
VALID: dict[str, typing.Any] = {
    "encryptionsalt": "v1:salt",
    "config": {
        "linode:apiVersion": "v4",
        "gaxx:ttl": "4h",
        "gaxx:authorityKey": {"secure": "v1:ciphertext"},
        "gaxx:operators": [{"name": "ada", "csr": "-----BEGIN CERTIFICATE REQUEST-----\n"}],
        "gaxx:fleets": [
            {
                "name": "render",
                "cloud": "linode",
                "nodes": 8,
                "regions": ["nl-ams"],
                "sshCidrs": ["203.0.113.7/32"],
                "files": {"/srv/a": "text", "/srv/b": {"content": "text", "mode": "0644"}},
            }
        ],
    },
}


def faults(document: object) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(document)]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_it_has_the_keys_that_the_program_reads_and_their_descriptions() -> None:
    assert list(CONFIG) == [f"gaxx:{key.name}" for key in KEYS]
    types = {"array": "array", "integer": ["integer", "string"]}
    for key in KEYS:
        schema = CONFIG[f"gaxx:{key.name}"]
        assert schema["description"]
        if not key.secret:
            assert schema.get("type", "string") == types.get(key.type, "string"), key.name


def test_it_has_the_keys_of_a_fleet_and_of_an_operator() -> None:
    assert list(FLEET) == list(fleet_settings._KEYS)
    assert list(OPERATOR) == list(operators._KEYS)


def test_it_has_the_same_closed_sets_and_patterns() -> None:
    assert FLEET["cloud"]["enum"] == list(CLOUD_NAMES) == list(cloud_table.CLOUDS)
    assert sorted(FLEET["reach"]["enum"]) == sorted(REACHES)
    assert OPERATOR["role"]["enum"] == list(operators.ROLES)
    assert FLEET["name"]["maxLength"] == fleet_settings.NAME_LIMIT
    file = FLEET["files"]["additionalProperties"]["oneOf"][1]["properties"]
    for pattern, schema in (
        (fleet_settings._GROUP, FLEET["groups"]["items"]["pattern"]),
        (declared_content._MODE, file["mode"]["pattern"]),
        (operators._NAME, OPERATOR["name"]["pattern"]),
    ):
        assert schema == f"^{pattern.pattern}$"


@pytest.mark.parametrize("text", ["30m", "4h", "2d", "1d12h"])
def test_it_accepts_the_durations_that_the_program_reads(text: str) -> None:
    parse_duration(text)
    assert faults({"config": {"gaxx:ttl": text}}) == []


@pytest.mark.parametrize("text", ["", "4 h", "h", "4", "1h2d"])
def test_it_refuses_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)
    assert faults({"config": {"gaxx:ttl": text}})


@pytest.mark.parametrize("path", STACKS, ids=lambda path: path.name)
def test_every_stack_file_of_the_project_fits_and_names_it(path: pathlib.Path) -> None:
    text = path.read_text()

    assert faults(yaml.safe_load(text)) == []
    up = "../" * (len(path.relative_to(ROOT / "stacks").parts) - 1)
    assert text.startswith(f"# yaml-language-server: $schema={up}schema.json\n")


def test_a_whole_stack_fits() -> None:
    assert faults(VALID) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cloud", "aws"),
        ("nodes", -1),
        ("image", "linode/latest"),
        ("image", "https://example.org/debian-12.qcow2"),
        ("image", f"http://example.org/debian-12.qcow2#sha256={DIGEST}"),
        ("image", "https://example.org/debian-12.qcow2#sha256=abc"),
        ("sshCidrs", ["0.0.0.0/0"]),
        ("trustedCidrs", ["::/0"]),
        ("name", "Render"),
        ("ports", [80]),
        ("files", {"relative": "text"}),
        ("env", {"GAXX_TOKEN": "x"}),
    ],
)
def test_a_fault_of_a_fleet_is_seen_while_it_is_written(key: str, value: object) -> None:
    document = copy.deepcopy(VALID)
    document["config"]["gaxx:fleets"][0][key] = value

    assert faults(document)


@pytest.mark.parametrize(
    "image",
    [
        "debian-12",
        2136,
        "/srv/images/debian-12.qcow2",
        f"https://example.org/latest/debian-12.qcow2#sha256={DIGEST}",
        f"http://127.0.0.1:8000/debian-12.qcow2#sha256={DIGEST}",
    ],
)
def test_every_form_of_an_image_fits(image: object) -> None:
    document = copy.deepcopy(VALID)
    document["config"]["gaxx:fleets"][0]["image"] = image

    assert faults(document) == []


def test_a_key_of_ours_that_does_not_exist_and_a_plain_authority_key_are_seen() -> None:
    assert faults({"config": {"gaxx:fleet": []}})
    assert faults({"config": {"gaxx:authorityKey": "-----BEGIN PRIVATE KEY-----"}})
