"""An old cache mends itself: the inventory is asked for again, once, when a node does not know us or is not there."""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.tasks.fleet import STACK, Fleet

pytestmark = [pytest.mark.engine, pytest.mark.timeout(180)]

PROGRAM = """
import json, pathlib
import pulumi

known = pathlib.Path("known.json").read_text()
pulumi.export("inventory", pulumi.Output.secret(json.loads(known) if {as_object} else known))
"""


@pytest.fixture(params=[True, False], ids=["object", "text"])
def up(three: Fleet, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """The standing stack with an engine behind it, whose output is the inventory in force."""
    definition = {
        "name": "gaxx",
        "runtime": {"name": "python", "options": {"virtualenv": os.path.relpath(sys.prefix, three.root)}},
        "stackConfigDir": "stacks",
    }
    (three.root / "Pulumi.yaml").write_text(json.dumps(definition))
    (three.root / "__main__.py").write_text(PROGRAM.format(as_object=request.param))
    (three.root / "known.json").write_text(three.known.to_json())
    (three.root / "stacks").mkdir(exist_ok=True)
    pulumi(three, "stack", "select", "--create", STACK)
    pulumi(three, "up", "--yes", "--skip-preview", "--stack", STACK)
    yield three
    pulumi(three, "stack", "rm", "--yes", "--force", STACK)


def pulumi(fleet: Fleet, *argv: str) -> None:
    program = pathlib.Path(sys.prefix) / "bin" / "pulumi"
    done = subprocess.run(
        [program, *argv, "--non-interactive"], cwd=fleet.root, env=fleet.environ, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_nodes_that_moved_and_tokens_that_changed_are_found_again(up: Fleet) -> None:
    moved = up.known.nodes[1]._replace(agent_port=1)
    old = up.known._replace(nodes=(up.known.nodes[0], moved, up.known.nodes[2]))
    before = up.known
    up.rewrite(old)
    answer = up.gaxx("run", "--json", "--", "true")
    assert answer.returncode == 0, answer.stderr
    assert b"asking Pulumi" in answer.stderr
    assert answer.stdout.count(b'"event":"node"') == 3, "each node is reported once"
    assert up.stack.cache.read_text() == before.to_json()
    assert up.stack.cache.stat().st_mode & 0o777 == 0o600

    stale = before.principals[0]._replace(token="0" * 43)
    up.rewrite(before._replace(principals=(stale,)))
    assert up.gaxx("run", "--", "true").returncode == 0


def test_a_node_that_is_really_away_stays_away_and_is_told_once(up: Fleet) -> None:
    gone = up.known.nodes[1]._replace(agent_port=1)
    changed = up.known._replace(nodes=(up.known.nodes[0], gone, up.known.nodes[2]))
    (up.root / "known.json").write_text(changed.to_json())
    pulumi(up, "up", "--yes", "--skip-preview", "--stack", STACK)
    up.rewrite(changed)
    answer = up.gaxx("run", "--json", "--", "true")
    assert answer.returncode == 5
    assert answer.stdout.count(b'"unreachable"') == 1
    assert answer.stderr.count(b"asking Pulumi") == 1


def test_a_node_that_the_cache_does_not_know_is_asked_for(up: Fleet) -> None:
    up.rewrite(up.known._replace(nodes=up.known.nodes[:1]))
    answer = up.gaxx("run", "-n", "demo-3", "--", "true")
    assert answer.returncode == 0, answer.stderr


def test_without_a_cache_the_stack_is_asked(up: Fleet) -> None:
    up.stack.cache.unlink()
    answer = up.gaxx("ls", "--json")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count(b"\n") == 3
