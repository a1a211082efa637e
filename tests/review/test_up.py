"""What a review says of a branch, plain `pulumi up` does: the bad ones make nothing, the good ones are applied."""

import pathlib
from collections.abc import Iterator

import pytest

from tests.review.cases import DEMO, PREVIEWED, REFUSED, Case
from tests.review.repository import LOCAL, PARAMETERS
from tests.stack.project import Project, new_project

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]
ABOUT_DEMO = [case for case in (*PREVIEWED, *REFUSED) if DEMO in case.edits]
BAD = [case for case in ABOUT_DEMO if case.code == 2]
GOOD = {
    "add-nodes": ["demo-1", "demo-2", "demo-3", "demo-4"],
    "change-the-type": ["demo-1", "demo-2"],
    "rename-the-fleet": ["paint-1", "paint-2"],
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with the stack that branches edit, judged as after `gaxx env`; not up yet."""
    with new_project(tmp_path_factory.mktemp("bundles")) as made:
        parameters = made.home / "parameters.json"
        parameters.write_text(PARAMETERS)
        made.environment["PULUMI_OPTION_POLICY_PACK"] = str(made.folder / "policy")
        made.environment["PULUMI_OPTION_POLICY_PACK_CONFIG"] = str(parameters)
        declare(made, LOCAL)
        made.pulumi("stack", "select", "--create", "demo")
        made.stacks.append("demo")
        yield made


def declare(project: Project, text: str) -> None:
    pathlib.Path(project.folder, DEMO).write_text(text)


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_a_branch_that_a_review_refuses_makes_nothing(plain: Project, case: Case) -> None:
    declare(plain, case.edits[DEMO](LOCAL))
    done = plain.pulumi("up", "--yes", check=None)
    declare(plain, LOCAL)

    assert done.code != 0
    assert "Traceback" not in done.text
    assert plain.machines() == []
    assert plain.resources() == []


@pytest.mark.parametrize(("name", "machines"), GOOD.items(), ids=GOOD)
def test_a_branch_that_a_review_lets_pass_is_applied(plain: Project, name: str, machines: list[str]) -> None:
    (case,) = [case for case in PREVIEWED if case.name == name]
    declare(plain, case.edits[DEMO](LOCAL))
    plain.pulumi("up", "--yes", "--skip-preview")

    assert plain.machines() == machines
