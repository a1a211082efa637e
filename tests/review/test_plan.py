"""A plan is applied only to what was reviewed; and a review of a stack that is up tells what the engine would do."""

import json
import pathlib
from collections.abc import Iterator

import pytest

from tests.stack.project import Done, Project, fleet, new_project

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]
_WHO = {f"GIT_{who}_{what}": "ada@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
_GIT = {**_WHO, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project of one local node in a Git repository, up by the plan of its review."""
    with new_project(tmp_path_factory.mktemp("bundles")) as made:
        made.environment |= _GIT
        made.create("demo", fleet(1))
        made.run("git", "init", "--quiet", "--initial-branch", "main")
        (made.folder / ".gitignore").write_text("__pycache__/\n")
        commit(made, "first")
        yield made


def commit(project: Project, words: str) -> None:
    project.run("git", "add", "--all", "--", ".", ":(exclude)plan.json*")
    project.run("git", "commit", "--quiet", "--allow-empty", "--message", words)


def planned(project: Project) -> pathlib.Path:
    """The plan of a review that nothing refuses."""
    path = project.folder / "plan.json"
    project.gaxx("review", "--base", "HEAD", "--stack", "demo", "--save-plan", str(path))
    return path


def refused(project: Project, plan: pathlib.Path) -> str:
    """Try to apply a plan; return why it was refused."""
    done: Done = project.gaxx("up", "--stack", "demo", "--plan", str(plan), check=2)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_plan_is_applied_once_and_to_nothing_else(committed: Project) -> None:
    plan = planned(committed)
    assert plan.stat().st_mode & 0o077 == 0

    committed.gaxx("up", "--stack", "demo", "--plan", str(plan))
    assert committed.machines() == ["demo-1"]
    # The state is another one now.
    assert "changed since then: the stack's state; review again" in refused(committed, plan)

    plan = planned(committed)
    stack_file = committed.folder / "stacks/Pulumi.demo.yaml"
    before = stack_file.read_text()
    committed.configure("demo", fleet(2))
    assert "there are uncommitted changes" in refused(committed, plan)
    commit(committed, "two nodes")
    assert "changed since then: the commit and the files" in refused(committed, plan)
    stack_file.write_text(before)
    commit(committed, "one node again")
    assert "changed since then: the commit; " in refused(committed, plan)

    program = committed.folder / "extra.py"
    program.write_text("# code of a provider\n")
    commit(committed, "code")
    plan = planned(committed)
    program.write_text("# other code of a provider\n")
    commit(committed, "other code")
    assert "the commit and the files" in refused(committed, plan)

    # Back where it was planned, but it is not the plan any more.
    committed.run("git", "reset", "--quiet", "--hard", "HEAD~1")
    content = json.loads(plan.read_text())
    plan.write_text(json.dumps({**content, "resourcePlans": {}}))
    assert "changed since then: the plan itself" in refused(committed, plan)
    plan.with_name("plan.json.review.json").unlink()
    assert "has no record of what was reviewed" in refused(committed, plan)
    plan.unlink()
    assert committed.machines() == ["demo-1"]


def test_what_a_rule_refuses_leaves_no_plan(committed: Project) -> None:
    plan = committed.folder / "plan.json"
    committed.configure("demo", fleet(1, trustedCidrs=["203.0.113.0/24"]))
    commit(committed, "opened")

    done = committed.gaxx("review", "--base", "HEAD~1", "--stack", "demo", "--save-plan", str(plan), check=2)

    assert "**refused** by `agent-ports-trusted-only`" in done.stdout
    assert not plan.exists()
    assert not plan.with_name("plan.json.review.json").exists()
    committed.run("git", "reset", "--quiet", "--hard", "HEAD~1")


def test_a_review_of_a_stack_that_is_up_says_what_the_engine_would_do(committed: Project) -> None:
    committed.configure("demo", fleet(2, type="medium"))
    commit(committed, "larger, and one more")

    done = committed.gaxx("review", "--base", "HEAD~1", "--stack", "demo", "--state", "--format", "json")
    model = json.loads(done.stdout)

    assert model["mode"] == "state"
    assert [(group["op"], group["nodes"]) for group in model["groups"]] == [
        ("replace", ["demo-1"]),
        ("create", ["demo-2"]),
    ]
    assert "type small → medium" in model["groups"][0]["why"]
    committed.run("git", "reset", "--quiet", "--hard", "HEAD~1")


def test_init_writes_workflows_for_its_stack(committed: Project) -> None:
    committed.gaxx("init", "--stack", "nightly", "--cloud", "local", "--ci", "github", "--json")
    committed.stacks.append("nightly")
    again = committed.gaxx("init", "--stack", "nightly", "--cloud", "local", "--ci", "github", "--json")

    written = {path.name for path in (committed.folder / ".github/workflows").iterdir()}
    assert written == {"gaxx-review.yml", "gaxx-apply-nightly.yml", "gaxx-drift-nightly.yml"}
    assert "wrote" not in again.stderr
