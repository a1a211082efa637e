"""Commands on a fleet that is up, and what is told of it."""

import json

import pytest

from tests.stack.project import Project

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


def test_a_command_that_fails_everywhere_exits_3_and_names_the_nodes_folded(standing: Project) -> None:
    done = standing.gaxx("run", "-n", "demo-[1-2]", "--", "sh", "-c", "echo $GAXX_NODE; exit 7", check=3)

    assert "demo-1\n" in done.stdout
    assert "demo-2\n" in done.stdout
    assert "demo-3" not in done.text
    assert "exit 7" in done.stdout
    assert "2 exit 7 (demo-[1-2])" in done.stderr


def test_equal_answers_are_one_answer_of_a_folded_set(standing: Project) -> None:
    done = standing.gaxx("run", "--", "echo", "same")

    assert "demo-[1-3]" in done.stdout
    assert done.stdout.count("same") == 1


def test_the_nodes_are_listed_as_one_json_object_each(standing: Project) -> None:
    listed = [json.loads(line) for line in standing.gaxx("ls", "--json").stdout.splitlines()]

    assert [node["name"] for node in listed] == ["demo-1", "demo-2", "demo-3"]
    assert len({node["address"] for node in listed}) == len(listed)
    assert {(node["agent_port"], node["metrics_port"], node["ssh_port"]) for node in listed} == {(8088, 9091, 2222)}


def test_all_nodes_are_healthy_and_exit_0(standing: Project) -> None:
    answers = [json.loads(line) for line in standing.gaxx("status", "--json").stdout.splitlines()]

    assert [(answer["node"], answer["state"]) for answer in answers] == [(f"demo-{n}", "ok") for n in (1, 2, 3)]


def test_the_inventory_comes_from_its_private_cache_and_from_the_stack_when_that_is_gone(standing: Project) -> None:
    (cache,) = standing.cache.glob("inventory/*")
    assert cache.stat().st_mode & 0o777 == 0o600
    before = cache.read_text()
    cache.unlink()

    standing.gaxx("run", "--", "true")

    assert json.loads(cache.read_text()) == json.loads(before)
