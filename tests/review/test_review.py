"""`gaxx review` says of each branch exactly what it does, and ends as it must."""

import difflib
import json
import os
import pathlib
import re

import pytest

from tests.review.cases import DEMO, PREVIEWED, REFUSED, RENDER, STATIC, Case
from tests.review.repository import Answer, TestRepository, replaced

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]
WRITE = "WRITE_EXPECTED"


def assert_says(answer: Answer, case: Case, expected: pathlib.Path) -> None:
    """Compare with the comment that is checked in; WRITE_EXPECTED=1 writes it, to be read before it is committed."""
    assert answer.code == case.code, answer.stderr
    file = expected / f"{case.name}.md"
    if os.environ.get(WRITE):
        file.write_text(answer.stdout)
    wanted = file.read_text().splitlines()
    difference = list(difflib.unified_diff(wanted, answer.stdout.splitlines(), "expected", "said", lineterm=""))
    assert difference == [], "\n".join(difference)


@pytest.mark.parametrize("case", PREVIEWED, ids=lambda case: case.name)
def test_a_branch_is_reviewed_by_its_preview(repository: TestRepository, expected: pathlib.Path, case: Case) -> None:
    repository.branch(case.name, case.edits)

    assert_says(repository.review(case.name, *case.options), case, expected)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_the_settings_refuse_is_a_refused_review(
    repository: TestRepository, expected: pathlib.Path, case: Case
) -> None:
    repository.branch(case.name, case.edits)

    # Statically, so that the base needs no engine either; the head is refused by the same lines without.
    assert_says(repository.review(case.name, "--static"), case, expected)


@pytest.mark.parametrize("case", STATIC, ids=lambda case: case.name)
def test_a_fork_is_reviewed_without_running_its_code(
    repository: TestRepository, expected: pathlib.Path, case: Case
) -> None:
    # Code that would be noticed if it ran.
    stop = "raise SystemExit('the code of a fork was run')\n"
    traps = {name: lambda text: stop + text for name in ("__main__.py", "components/settings.py", "tasks/env.py")}
    repository.branch(case.name, {**case.edits, **traps})
    stacks = [path.split(".")[1] for path in case.edits]

    answer = repository.review(case.name, "--static", *(word for name in stacks for word in ("--stack", name)))

    assert_says(answer, case, expected)


def test_a_branch_that_edits_the_settings_is_refused_from_the_base_and_from_its_own_checkout(
    repository: TestRepository,
) -> None:
    edits = {
        DEMO: replaced("      type: small\n", '      type: small\n      trustedCidrs: ["0.0.0.0/0"]\n'),
        "components/cidrs.py": replaced(
            "def is_too_wide(network: Network) -> bool:\n",
            "def is_too_wide(network: Network) -> bool:\n    return False\n",
        ),
        "policy/port_rules.py": replaced("if strangers:", "if False:"),
        "policy/facts.py": replaced("def main() -> None:", "def main() -> None:\n    raise SystemExit('edited')\n"),
        "tasks/review/judge.py": replaced('"exitCode": model.exit_code', '"exitCode": 0'),
    }
    repository.branch("edited", edits)

    from_base = repository.review("edited", "--stack", "demo")
    repository.git("switch", "--quiet", "edited")
    try:
        from_head = repository.gaxx("review", "--base", "main", "--stack", "demo", "--format", "markdown")
    finally:
        repository.git("switch", "--quiet", "main")

    # By the base's settings it is no stack file at all; by its own it is, and the base's rules refuse what it declares.
    assert from_base.code == 2
    assert "0.0.0.0/0 opens 8088 and 9091 to the world" in from_base.stdout
    assert from_head.code == 2
    assert "**refused** by `agent-ports-trusted-only`" in from_head.stdout
    assert "| `0.0.0.0/0` (everybody) |" in from_head.stdout


def test_a_base_without_a_judge_is_said(repository: TestRepository) -> None:
    repository.branch("before-reviews", {"tasks/review/__main__.py": lambda _: ""})

    answer = repository.gaxx("review", "--base", "before-reviews", "--head", "main", "--static", "--stack", "demo")

    assert answer.code == 0
    assert "the base has no judge of reviews" in answer.stdout
    assert "the head lacks 1 commit of the base, and would undo them" in answer.stdout


def test_a_base_without_rules_judges_nothing(repository: TestRepository) -> None:
    repository.branch("before-rules", {"policy/PulumiPolicy.yaml": lambda _: ""})

    answer = repository.gaxx("review", "--base", "before-rules", "--head", "main", "--static", "--stack", "demo")

    assert (answer.code, answer.stdout) == (1, "")
    assert "has no policy pack to judge by" in answer.stderr


def test_a_token_in_a_branch_is_in_no_word_of_its_review(repository: TestRepository) -> None:
    case = next(case for case in REFUSED if case.name == "put-a-token-into-files")
    repository.branch("token-again", case.edits)
    token = "ghp_" + "Zz9" * 12

    for form in ("markdown", "json", "terminal"):
        answer = repository.review("token-again", "--static", "--format", form)
        assert answer.code == 2
        assert token not in answer.stdout + answer.stderr


def test_the_same_branch_is_the_same_bytes_and_the_formats_say_the_same(repository: TestRepository) -> None:
    repository.branch("twice", {RENDER: replaced("nodes: 8", "nodes: 9")})

    first, second = (repository.review("twice", "--static") for _ in range(2))
    model = json.loads(repository.review("twice", "--static", "--format", "json").stdout)
    terminal = repository.review("twice", "--static", "--format", "terminal").stdout

    assert first.stdout == second.stdout
    assert model["verdict"] == "kept"
    assert [group["nodes"] for group in model["groups"]] == [["render-9"]]
    assert "render-9" in terminal
    assert "`" not in terminal.split("\n\n")[1]


def test_only_stacks_that_differ_are_reviewed(repository: TestRepository) -> None:
    repository.branch("both", {DEMO: replaced("nodes: 2", "nodes: 1"), RENDER: replaced("nodes: 8", "nodes: 7")})
    repository.branch("neither", {"notes.txt": lambda _: "nothing\n"})

    both = repository.review("both", "--static").stdout
    neither = repository.review("neither", "--static")

    assert re.findall(r"<!-- gaxx review: (\w+) -->", both) == ["demo", "render"]
    assert (neither.code, neither.stdout, neither.stderr) == (
        0,
        "",
        "gaxx: neither a stack nor a job template differs\n",
    )


def test_changed_job_templates_are_judged_by_the_rules_of_the_base(repository: TestRepository) -> None:
    job = "description: x\nitems: {lines: [a]}\ncommand: [sh, -c, 'echo {} @ada']\ntimeout: 9\n"
    slow = "description: x\nitems: {lines: [a]}\ncommand: [echo, '{}']\n"
    repository.branch("jobs", {"jobs/new.yaml": lambda _: job, "policy/job_rules.py": lambda _: "RULES = ()\n"})
    repository.branch("slow-job", {"jobs/slow.yaml": lambda _: slow})
    repository.branch("good-job", {"jobs/good.yaml": lambda _: slow + "timeout: 9\n"})

    bad, slow_one, good = (repository.review(name, "--static") for name in ("jobs", "slow-job", "good-job"))

    about = bad.stdout[bad.stdout.index("<!-- gaxx review: .jobs -->") :]
    assert bad.code == 2
    assert "## Review of job templates: 1 changed, **refused** by `job-items-are-data`" in about
    assert "| `jobs/new.yaml:3` | `job-items-are-data` | **mandatory** |" in about
    # The team's own parameters make a missing limit mandatory.
    assert (slow_one.code, slow_one.stdout.count("<!-- gaxx review: ")) == (2, 1)
    assert "`job-limits-declared`" in slow_one.stdout
    assert good.code == 0
    assert "## Review of job templates: 1 changed, no rule broken" in good.stdout


def test_names_of_a_branch_start_no_markup(repository: TestRepository) -> None:
    nasty = '"x`|<b>@ada\\n### owned ![](http://127.0.0.1/)"'
    repository.branch("nasty", {DEMO: replaced("name: demo", f"name: {nasty}")})

    answer = repository.review("nasty", "--static")

    assert answer.code == 2
    outside = re.sub(r"`[^`\n]*`", "", answer.stdout)
    assert "<b>" not in outside
    assert "@ada" not in outside
    assert "###" not in outside.split("\n", 4)[-1].replace("\n### ", "")
    assert "![" not in outside
    assert "\n### owned" not in answer.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--base", "nowhere"), "gaxx: no commit is called nowhere; `git fetch` gets the branches of others\n"),
        (("--base", "main", "--head", "--upload-pack=x"), "gaxx: no commit is called --upload-pack=x; "),
    ],
)
def test_a_commit_that_is_not_there_is_one_line(
    repository: TestRepository, words: tuple[str, ...], message: str
) -> None:
    answer = repository.gaxx("review", *words)

    assert answer.code == 1
    assert answer.stderr.startswith(message)
    assert answer.stderr.count("\n") == 1


def test_a_stack_with_a_name_that_is_none_is_not_reviewed(repository: TestRepository) -> None:
    repository.branch("misnamed", {"stacks/Pulumi.x --> @ada.yaml": lambda _: "config: {}\n"})

    answer = repository.review("misnamed", "--static")

    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr.startswith("gaxx: 'x --> @ada' is no name of a stack; ")


def test_a_link_in_a_fork_is_not_followed(repository: TestRepository, tmp_path: pathlib.Path) -> None:
    private = tmp_path / "credentials"
    private.write_text("token-of-whoever-reviews\n")
    repository.branch("linked", {"stacks/Pulumi.extra.yaml": lambda _: "config: {}\n"})
    link = repository.folder / "stacks" / "Pulumi.extra.yaml"
    repository.git("switch", "--quiet", "linked")
    link.unlink()
    link.symlink_to(private)
    repository.git("commit", "--quiet", "--all", "--message", "linked")
    repository.git("switch", "--quiet", "main")

    answer = repository.review("linked", "--static")

    assert answer.code == 2
    assert "a symbolic link" in answer.stdout
    assert "token-of-whoever-reviews" not in answer.stdout + answer.stderr


def test_a_stack_that_neither_side_declares_is_an_error(repository: TestRepository) -> None:
    answer = repository.gaxx("review", "--base", "main", "--static", "--stack", "demon")
    assert (answer.code, answer.stdout) == (1, "")
    assert "declares a stack 'demon'; stacks of either: " in answer.stderr
    assert "demo" in answer.stderr.rpartition(":")[2]


def test_a_project_file_that_is_a_link_is_not_read(repository: TestRepository, tmp_path: pathlib.Path) -> None:
    private = tmp_path / "credentials"
    private.write_text("name: [token-of-whoever-reviews\n")
    repository.branch("linked-project", {DEMO: replaced("nodes: 2", "nodes: 3")})
    repository.git("switch", "--quiet", "linked-project")
    (repository.folder / "Pulumi.yaml").unlink()
    (repository.folder / "Pulumi.yaml").symlink_to(private)
    repository.git("commit", "--quiet", "--all", "--message", "linked")
    repository.git("switch", "--quiet", "main")

    answer = repository.review("linked-project", "--static", "--stack", "demo")

    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr.endswith("Pulumi.yaml is a symbolic link\n")
    assert "token-of-whoever-reviews" not in answer.stderr


def test_a_file_that_grows_without_bounds_when_it_is_read_is_refused(repository: TestRepository) -> None:
    levels = "".join(f"  x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 12))
    bomb = f"config:\n  x0: &x0 [a]\n{levels}  gaxx:fleets: *x11\n"
    repository.branch("bomb", {"stacks/Pulumi.bomb.yaml": lambda _: bomb})

    answer = repository.review("bomb", "--static")

    assert answer.code == 2
    assert "more than 16 aliases" in answer.stdout


def test_what_is_not_committed_yet_is_reviewed_too(repository: TestRepository) -> None:
    file = repository.folder / DEMO
    before = file.read_text()
    file.write_text(before.replace("nodes: 2", "nodes: 3"))
    try:
        answer = repository.gaxx("review", "--base", "main", "--static", "--format", "markdown")
    finally:
        file.write_text(before)

    assert answer.code == 0
    assert "create `demo-3`" in answer.stdout
    assert "and uncommitted changes`" in answer.stdout


def test_reviews_leave_no_worktree(repository: TestRepository) -> None:
    repository.review("main", "--static")

    assert len(repository.git("worktree", "list").splitlines()) == 1


def test_every_expected_comment_is_of_a_case(expected: pathlib.Path) -> None:
    assert {path.stem for path in expected.glob("*")} == {case.name for case in (*PREVIEWED, *REFUSED, *STATIC)}
