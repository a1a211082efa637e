"""The program's edge: errors become one line and an exit code, and nothing is loaded before it is needed."""

import os
import pathlib
import subprocess
import sys

import click
import pytest

from components.errors import GaxxError, InventoryError, NodeError, Refused, SettingsError
from tasks.cli import main
from tasks.cli.main import VERBS, gaxx

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (GaxxError("no stack selected", hint="name one"), 1, "gaxx: no stack selected; name one\n"),
        (InventoryError("too old"), 1, "gaxx: too old\n"),
        (Refused("foreign"), 2, "gaxx: foreign\n"),
        (NodeError("demo-1", "down"), 5, "gaxx: demo-1: down\n"),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
        (click.exceptions.Exit(3), 3, ""),
        (click.UsageError("Wrong."), 1, "gaxx: Wrong; see `gaxx --help`\n"),
    ],
)
def test_every_error_is_one_line_and_its_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.explain(error) == code
    assert capsys.readouterr().err == said


def test_all_faults_of_the_settings_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.explain(SettingsError((("gaxx:ttl", "missing"), ("gaxx:fleets", "missing")))) == 1
    assert capsys.readouterr().err.count("\n") == 3


def test_a_fault_of_ours_is_one_line_and_its_trace_is_in_a_private_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.explain(ZeroDivisionError("division by zero")) == 1
    said = capsys.readouterr().err
    assert said.startswith("gaxx: internal error: ZeroDivisionError: division by zero; details in ")
    path = pathlib.Path(said.split("details in ")[1].strip())
    assert path.stat().st_mode & 0o777 == 0o600
    assert "ZeroDivisionError" in path.read_text()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_a_stack_where_it_needs_one(verb: str) -> None:
    command = gaxx.get_command(click.Context(gaxx), verb)
    assert command is not None
    assert command.help
    # `env` is about the user, `runs` about runs of any stack, `policy` about files, `prices` about vendors.
    assert verb in {"env", "policy", "prices", "runs"} or "--stack" in {
        option for parameter in command.params for option in parameter.opts
    }


def run(*argv: str, folder: pathlib.Path) -> "subprocess.CompletedProcess[str]":
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "tasks.cli.main", *argv], cwd=folder, env=environ, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_outside_of_a_project_that_is_said(tmp_path: pathlib.Path) -> None:
    answer = run("ls", folder=tmp_path)
    assert answer.returncode == 1
    assert answer.stderr == f"gaxx: no Pulumi.yaml in {tmp_path} or above it; run gaxx inside the project\n"


def test_without_a_stack_the_ways_to_one_are_said(project: pathlib.Path) -> None:
    answer = run("run", "--", "true", folder=project)
    assert answer.returncode == 1
    assert answer.stderr == "gaxx: no stack selected; name one with --stack S, or `pulumi stack select S`\n"


@pytest.mark.parametrize("argv", [["nope"], ["ls", "--nope"], ["ssh"]])
def test_usage_errors_are_exit_1(project: pathlib.Path, argv: list[str]) -> None:
    answer = run(*argv, folder=project)
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1


def test_a_verb_that_is_nearly_one_is_recognised(project: pathlib.Path) -> None:
    assert run("rum", folder=project).stderr == "gaxx: No such command 'rum'. Did you mean 'run'? See `gaxx --help`\n"
    assert run("runs", "shwo", folder=project).stderr.count("'show'") == 1


def test_the_list_of_verbs_loads_none_of_them(project: pathlib.Path) -> None:
    program = (
        "import sys\nfrom tasks.cli.main import main\nmain(['--help'])\n"
        "sys.exit(any(name.startswith(('grpc', 'ClusterShell', 'tasks.cli.run')) for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=project, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert all(verb in done.stdout for verb in VERBS)


def test_fab_lists_the_same_verbs() -> None:
    fab = pathlib.Path(sys.prefix) / "bin" / "fab"
    done = subprocess.run([fab, "--list"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ") and line[2] != " "]
    assert sorted(listed) == sorted(VERBS)
