"""Rules about job templates: each refuses what it is for, and accepts what is nearly that."""

import pathlib
import typing

import pytest
import yaml

from policy.job_rules import RULES
from policy.jobs import judge

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKEN = "ghp_" + "Zz9" * 12
GOOD: dict[str, typing.Any] = {
    "description": "Render",
    "items": {"glob": "frames/*.txt"},
    "command": ["./render.sh", "{}"],
    "timeout": "5m",
}


def rules_against(**changes: typing.Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in judge({**GOOD, **changes}, {}):
        found.setdefault(entry["rule"], []).append(entry["key"])
    return found


def test_a_good_template_draws_nothing() -> None:
    assert rules_against() == {}


@pytest.mark.parametrize("path", sorted((ROOT / "jobs").glob("*.yaml")), ids=lambda path: path.stem)
def test_templates_that_come_along_break_no_mandatory_rule(path: pathlib.Path) -> None:
    found = [entry for entry in judge(yaml.safe_load(path.read_text()), {}) if entry["level"] == "mandatory"]

    assert found == []


@pytest.mark.parametrize(
    ("changes", "rule", "key"),
    [
        ({"command": ["sh", "-c", "convert {} out.png"]}, "job-items-are-data", "command[2]"),
        ({"command": ["/bin/bash", "-ec", "convert {/.}.png"]}, "job-items-are-data", "command[2]"),
        ({"command": ["env", "A=1", "sh", "-c", "echo {}"]}, "job-items-are-data", "command[4]"),
        ({"command": ["sh", "-e", "-c", "echo ${level}"]}, "job-items-are-data", "command[3]"),
        ({"command": ["sh", "-c", 'eval "$1"', "sh", "{}"]}, "job-items-are-data", "command[2]"),
        ({"command": ["echo ${level}"], "shell": True}, "job-items-are-data", "command"),
        ({"command": ["sh", "-c", "curl -s http://127.0.0.1/x | sh"]}, "job-code-reviewed", "command[2]"),
        ({"command": ["wget -qO- http://127.0.0.1/x | sudo bash"], "shell": True}, "job-code-reviewed", "command"),
        ({"files": ["/etc/passwd"]}, "job-files-inside", "files[0]"),
        ({"send": ["a.txt", "../b.txt"]}, "job-files-inside", "send[1]"),
        ({"send": ["~/.ssh/id_ed25519"]}, "job-files-inside", "send[0]"),
        ({"return": ["/var/log/*"]}, "job-files-inside", "return[0]"),
        ({"output": "/etc"}, "job-files-inside", "output"),
        ({"merge": {"type": "text", "to": "../../x"}}, "job-files-inside", "merge.to"),
        ({"items": {"file": "/etc/shadow"}}, "job-files-inside", "items.file"),
        ({"command": ["sh", "-c", "rm -rf /"]}, "job-files-inside", "command[2]"),
        ({"command": ["sudo", "make"]}, "job-no-privilege", "command[0]"),
        ({"command": ["sh", "-c", "make; sudo make install"]}, "job-no-privilege", "command[2]"),
        ({"env": {"HUB_TOKEN": "x1y2z3x1y2z3"}}, "job-no-credentials", "env.HUB_TOKEN"),
        ({"params": {"key": TOKEN}}, "job-no-credentials", "params.key"),
        ({"command": ["push", f"--token={TOKEN}"]}, "job-no-credentials", "command[1]"),
        ({"attempts": 11}, "job-limits-declared", "attempts"),
        ({"slots": 257}, "job-limits-declared", "slots"),
    ],
)
def test_what_a_rule_is_for_is_refused_at_its_key(changes: dict[str, typing.Any], rule: str, key: str) -> None:
    assert key in rules_against(**changes).get(rule, [])


@pytest.mark.parametrize(
    "changes",
    [
        {"command": ["sh", "-c", 'convert "$1" out.png', "sh", "{}"]},
        {"command": ["sh", "-c", "echo $GAXX_ITEM ${HOME}"]},
        {"command": ["convert {} out.png"], "shell": True},
        {"command": ["git", "-c", "user.name={}", "commit"]},
        {"command": ["sh", "run.sh", "-c", "{}"]},
        {"command": ["sh", "-c", "curl -s http://127.0.0.1/x -o x && sha256sum -c SUMS"]},
        {"command": ["sh", "-c", "curl -s http://127.0.0.1/x | shasum"]},
        {"files": ["render/..tile.py"], "return": ["out/{/}.png"], "output": "pics/all"},
        {"items": {"glob": "${tree}/**/*"}},
        {"command": ["sh", "-c", "rm -rf ./tmp && rm -rf out/"]},
        {"command": ["visudo-report", "su"]},
        {"command": ["sh", "-c", "echo pseudo sudoku"]},
        {"env": {"HUB_TOKEN": "${token}", "TOKEN_FILE": "/run/token", "MODE": "fast"}},
        {"attempts": 10, "slots": 256},
    ],
)
def test_what_is_nearly_that_is_accepted(changes: dict[str, typing.Any]) -> None:
    assert rules_against(**changes) == {}


def test_a_missing_timeout_is_advice_until_a_team_makes_it_mandatory() -> None:
    without = {key: value for key, value in GOOD.items() if key != "timeout"}

    (advice,) = judge(without, {})
    (refused,) = judge(without, {"job-limits-declared": "mandatory"})
    assert (advice["level"], refused["level"]) == ("advisory", "mandatory")
    assert list(judge(without, {"job-limits-declared": "disabled"})) == []
    (fewer,) = judge({**GOOD, "attempts": 3}, {"job-limits-declared": {"attempts": 2}})
    assert fewer["text"] == "3 attempts, and 2 is the limit"


@pytest.mark.parametrize("value", [None, 7, "x", [None], {"a": 1}, [["sh", "-c"]], True])
@pytest.mark.parametrize("key", ["command", "items", "files", "send", "return", "output", "merge", "env", "attempts"])
def test_a_template_of_any_shape_is_judged_without_an_error(key: str, value: object) -> None:
    assert "could not judge" not in " ".join(entry["text"] for entry in judge({**GOOD, key: value}, {}))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_says_what_it_protects_and_how_to_fix(rule: typing.Any) -> None:
    assert rule.name.startswith("job-")
    for text in (rule.protects, rule.fix):
        assert len(text) > 20
        assert not text.endswith(".")
