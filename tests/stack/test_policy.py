"""The policy pack under the real engine: a plain `pulumi up` is judged, and what breaks a rule makes nothing."""

import json
import pathlib
from collections.abc import Iterator

import pytest

from policy.rulebook import RULES
from tests.stack.project import Done, Project, fleet, new_project

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]
FIX = {rule.name: rule.fix for rule in RULES}


@pytest.fixture(scope="module")
def judged(bundles: pathlib.Path) -> Iterator[Project]:
    """A project of two local nodes, whose every command is judged as `gaxx env` has it."""
    with new_project(bundles) as made:
        made.environment["PULUMI_OPTION_POLICY_PACK"] = str(made.folder / "policy")
        made.create("demo", fleet(2))
        yield made


def configured(project: Project, **rules: object) -> dict[str, str]:
    path = project.home / "policy.json"
    path.write_text(json.dumps({name.replace("_", "-"): value for name, value in rules.items()}))
    return {"PULUMI_OPTION_POLICY_PACK_CONFIG": str(path)}


def assert_refused(done: Done, rule: str) -> None:
    """Fail unless that rule refused, with its fix, and not by a traceback."""
    text = " ".join(done.text.split())
    assert f"[mandatory] {rule}" in text
    assert f"fix: {FIX[rule]}" in text
    assert "Traceback" not in text


def test_gaxx_env_switches_the_pack_on(judged: Project) -> None:
    assert f"PULUMI_OPTION_POLICY_PACK={judged.folder / 'policy'}" in judged.gaxx("env").stdout


def test_what_breaks_a_rule_is_refused_with_its_fix_and_nothing_is_made(judged: Project) -> None:
    budget = configured(judged, node_budget={"nodes": 1})
    done = judged.pulumi("up", "--yes", check=None, env=budget)

    assert done.code != 0
    assert_refused(done, "node-budget")
    assert judged.resources() == []
    assert judged.machines() == []


def test_without_a_preview_no_machine_is_made_either(judged: Project) -> None:
    budget = configured(judged, node_budget={"nodes": 1})
    done = judged.pulumi("up", "--yes", "--skip-preview", check=None, env=budget)

    assert done.code != 0
    assert_refused(done, "node-budget")
    assert judged.machines() == []


def test_an_opened_port_is_refused_by_the_pack_where_the_settings_accept_it(judged: Project) -> None:
    judged.configure("demo", fleet(2, trustedCidrs=["203.0.113.0/24"]))
    done = judged.pulumi("preview", check=None)

    assert done.code != 0
    assert_refused(done, "agent-ports-trusted-only")
    listed = configured(judged, agent_ports_trusted_only={"trustedCidrs": ["203.0.113.0/24"]})
    assert "[mandatory]" not in judged.pulumi("preview", env=listed).text
    judged.configure("demo", fleet(2))


def test_a_configuration_that_the_pack_does_not_know_is_refused(judged: Project) -> None:
    wrong = configured(judged, node_budget={"nodes": "many"})
    done = judged.pulumi("preview", check=None, env=wrong)

    assert done.code != 0
    assert "nodes" in done.text


def test_the_example_stack_passes_every_rule_and_is_left_alone_afterwards(judged: Project) -> None:
    preview = judged.pulumi("preview")
    assert "user-data of demo-1, demo-2 is judged in the update" in preview.text
    assert "[mandatory]" not in preview.text

    done = judged.pulumi("up", "--yes")
    assert "[mandatory]" not in done.text
    assert judged.machines() == ["demo-1", "demo-2"]
    assert "judged in the update" not in judged.pulumi("preview", "--expect-no-changes").text

    judged.pulumi("destroy", "--yes", env=configured(judged, node_budget={"nodes": 1}))
    assert judged.machines() == []
