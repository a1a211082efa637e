"""The engine asks a node's health through the jump host that its state names.

Nothing that a test can make is elsewhere than on this computer, where a declared jump host does not count: so the
state is told of one.
"""

import json
import pathlib

import pytest

from tests.stack.project import Project, fleet
from tests.tasks.jump import jump_host

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


def tell(project: Project, jump: str) -> None:
    """Have the state say that this leads to the node."""
    state = json.loads(project.pulumi("stack", "export").stdout)
    for resource in state["deployment"]["resources"]:
        if resource["type"] == "gaxx:index:Enrolment":
            resource["inputs"]["jumpHost"] = resource["outputs"]["jumpHost"] = jump
    project.pulumi("stack", "import", stdin=json.dumps(state))


def health(project: Project) -> str:
    """What a refresh finds."""
    project.pulumi("refresh", "--yes", "--skip-preview")
    found: str = project.resource("Enrolment", "demo-1")["outputs"]["health"]
    return found


def test_a_node_is_asked_through_it_and_its_own_faults_are_not_the_nodes(
    project: Project, tmp_path: pathlib.Path
) -> None:
    project.create("demo", fleet(1, reach="ssh", trustedCidrs=[]))
    project.up()
    with jump_host(tmp_path, project.home, project.folder, apart=False) as jump:
        project.prefix = jump.user_space
        try:
            tell(project, jump.text)
            assert health(project) == "serving"
            assert jump.served == 1

            jump.forget()
            assert f"the host key of the jump host {jump.text} is not known" in health(project)

            # The stack file names none: the update itself goes directly, and mends what only the way there was.
            project.up()
            asked = jump.served
            assert health(project) == "serving"
            assert jump.served == asked
            project.pulumi("preview", "--expect-no-changes")
        finally:
            project.prefix = ()
