"""Stack files are checked with file and line of every fault."""

import os
import pathlib
import subprocess
import sys

import pytest
import yaml

from tasks import check

ROOT = pathlib.Path(__file__).resolve().parents[2]

FAULTY = """\
# a comment first
config:
  gaxx:ttl: forever
  gaxx:fleets:
    - name: web
      cloud: local
      nodes: 3
    - name: web
      cloud: locale
      nodes: -1
      files:
        /etc/a.conf: 7
      nods: 3
"""


def gaxx(folder: pathlib.Path, *argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tasks.cli.main", *argv], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_every_fault_is_told_with_its_line(project: pathlib.Path) -> None:
    (project / "stacks" / "Pulumi.bad.yaml").write_text(FAULTY)
    answer = gaxx(project, "check")
    assert answer.returncode == 1
    lines = [int(line.split(":")[1]) for line in answer.stdout.splitlines()]
    assert {*lines} >= {3, 8, 9, 10, 12, 13}, answer.stdout
    assert lines == sorted(lines)
    assert all(line.startswith("stacks/Pulumi.bad.yaml:") for line in answer.stdout.splitlines())


def test_a_good_file_is_no_output_and_exit_0(project: pathlib.Path) -> None:
    (project / "stacks" / "Pulumi.good.yaml").write_text("config:\n  gaxx:fleets:\n    - {name: a, cloud: local}\n")
    answer = gaxx(project, "check", "--stack", "good")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "gaxx: 1 file: no fault\n")


@pytest.mark.parametrize(("text", "line"), [("config: [", 2), ("config:\n  a: b: c\n", 2), ("just text\n", 1), ("", 1)])
def test_what_is_no_stack_file_is_a_fault_with_a_line(project: pathlib.Path, text: str, line: int) -> None:
    path = project / "stacks" / "Pulumi.x.yaml"
    path.write_text(text)
    (fault,) = check.check_files([path], project)
    assert fault.line <= line


def test_a_file_that_is_not_there_is_an_error(project: pathlib.Path) -> None:
    answer = gaxx(project, "check", "stacks/Pulumi.none.yaml")
    assert answer.returncode == 1
    assert answer.stderr == "gaxx: stacks/Pulumi.none.yaml: No such file or directory\n"


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("config.gaxx:ttl", 3),
        ("config.gaxx:fleets[1].nodes", 10),
        ("config.gaxx:fleets[1].files./etc/a.conf", 12),
        ("config.gaxx:fleets[1].files./etc/a.conf.mode", 12),
        ("config.gaxx:fleets[1].missing", 8),
        ("config.gaxx:operators", 2),
        ("config.gaxx:fleets[7]", 4),
    ],
)
def test_a_key_path_leads_to_its_line_or_to_what_is_nearest(path: str, line: int) -> None:
    assert check.line_of(yaml.compose(FAULTY), path) == line


@pytest.mark.parametrize(
    ("key", "fault"),
    [("linode:token", True), ("vultr:apiKey", True), ("gaxx:authorityKey", True), ("linode:apiVersion", False)],
)
def test_a_secret_in_plain_is_refused_without_being_quoted(project: pathlib.Path, key: str, fault: bool) -> None:
    path = project / "stacks" / "Pulumi.x.yaml"
    path.write_text(f"config:\n  gaxx:fleets: []\n  {key}: c0ffee\n")

    found = [entry for entry in check.check_files([path], project) if "in plain" in entry.text]

    assert [(entry.line, entry.key) for entry in found] == ([(3, key)] if fault else [])
    assert "c0ffee" not in str(found)
    path.write_text(f"config:\n  gaxx:fleets: []\n  {key}:\n    secure: v1:c0ffee\n")
    assert not any("in plain" in entry.text for entry in check.check_files([path], project))
