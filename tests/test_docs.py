"""The README tells the truth: what it names exists, and what exists is named."""

import pathlib
import re

import pytest

from components.fleet_settings import _KEYS as FLEET_KEYS
from components.ports import Port
from components.settings import KEYS
from tasks.cli.main import VERBS

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("key", [key.name for key in KEYS])
def test_every_key_of_the_stack_configuration_is_in_the_readme(key: str) -> None:
    assert f"`gaxx:{key}`" in README


@pytest.mark.parametrize("key", FLEET_KEYS)
def test_every_key_of_a_fleet_is_in_the_readme(key: str) -> None:
    assert f"`{key}`" in README


@pytest.mark.parametrize("port", list(Port), ids=lambda port: str(int(port)))
def test_every_port_is_in_the_readme(port: Port) -> None:
    assert re.search(rf"\b{int(port)}\b", README)


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 130, 141])
def test_every_exit_code_is_in_the_readme(code: int) -> None:
    section = README.split("## Exit codes")[1].split("##")[0]
    assert re.search(rf"\b{code}\b", section)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_in_the_readme(verb: str) -> None:
    section = README.split("## Verbs")[1].split("##")[0]
    assert re.search(rf"`{verb}`", section)


def test_every_verb_that_the_readme_shows_exists() -> None:
    shown = set(re.findall(r"^\s+(?:.*\| )?gaxx ([a-z]+)", README, re.MULTILINE))
    section = README.split("## Verbs")[1].split("##")[0]
    shown |= {
        name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`([a-z]+)`", row)
    }

    assert shown <= set(VERBS), f"the README shows verbs that do not exist: {shown - set(VERBS)}"


@pytest.mark.parametrize("target", re.findall(r"`make ([a-z-]+)`", README))
def test_every_make_target_in_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", README))
def test_every_link_in_the_readme_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
