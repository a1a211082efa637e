"""`gaxx policy check` judges files without running them, and says where each fault is."""

import pathlib

import pytest

from components.errors import GaxxError
from tasks.review import templates
from tests.review.repository import LOCAL, ROOT

JOB = """\
description: Render
items: {lines: [a]}
command:
  - sh
  - -c
  - convert {} out.png
timeout: 60
"""


def written(folder: pathlib.Path, name: str, text: str) -> pathlib.Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_shell_that_reads_items_is_refused_at_its_line(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "jobs/render.yaml", JOB)

    (found,) = templates.judge([path.parent], ROOT)

    assert (found.file, found.line, found.key) == (str(path), 6, "command[2]")
    assert (found.rule, found.level) == ("job-items-are-data", "mandatory")
    assert "[mandatory job-items-are-data]" in str(found)


def test_a_template_that_is_wrong_is_told_before_any_rule(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "jobs/render.yaml", "items: 7\n")

    found = templates.judge([path], ROOT)

    assert found
    assert {finding.rule for finding in found} == {""}


def test_a_link_is_not_followed(tmp_path: pathlib.Path) -> None:
    other = written(tmp_path, "other", "secret\n")
    link = tmp_path / "jobs" / "render.yaml"
    link.parent.mkdir()
    link.symlink_to(other)

    with pytest.raises(GaxxError, match="a symbolic link"):
        templates.judge([link.parent], ROOT)


def test_a_stack_file_is_judged_by_its_plain_values(tmp_path: pathlib.Path) -> None:
    good = written(tmp_path, "stacks/Pulumi.demo.yaml", LOCAL)
    many = "".join(f"    - {{name: f{number}, nodes: 250}}\n" for number in range(3))
    bad = written(tmp_path, "stacks/Pulumi.many.yaml", f"config:\n  gaxx:fleets:\n{many}")
    open_ = written(tmp_path, "stacks/Pulumi.open.yaml", LOCAL + "      trustedCidrs: [203.0.113.0/24]\n")

    assert templates.judge([good], ROOT) == []
    assert {finding.rule for finding in templates.judge([bad], ROOT)} == {"node-budget"}
    assert {finding.rule for finding in templates.judge([open_], ROOT)} == {"agent-ports-trusted-only"}


def test_all_of_this_project_passes() -> None:
    found = templates.judge([ROOT / "jobs", ROOT / "stacks"], ROOT)

    assert [finding for finding in found if finding.level == "mandatory"] == []


@pytest.mark.parametrize("make", [False, True])
def test_what_is_not_there_is_an_error(tmp_path: pathlib.Path, make: bool) -> None:
    folder = tmp_path / "jobs"
    if make:
        folder.mkdir()

    with pytest.raises(GaxxError, match=r"no such file|neither job templates nor stack files"):
        templates.judge([folder], ROOT)


def test_examples_pass_every_rule_and_there_is_one_of_each_cloud() -> None:
    examples = ROOT / "stacks" / "examples"

    assert templates.judge([examples], ROOT) == []
    assert {path.name.split(".")[1] for path in examples.iterdir()} == {"local", "qemu", "linode", "vultr", "both"}
