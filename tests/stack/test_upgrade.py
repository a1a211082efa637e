"""Another version of the agent reaches nodes that work: in place, its items ended first, none failed."""

import json
import pathlib
import shlex
import shutil

import pytest

from tests.stack import remains
from tests.stack.project import ROOT, Project, fleet
from tests.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

ITEMS = 300
LAST = 8
"""So many items go on until the update is over."""


@pytest.fixture
def clone(project: Project) -> Project:
    """A project whose agent is its own, so that it can have another one later."""
    for name in ("agent", "components"):
        (project.folder / name).unlink()
        shutil.copytree(ROOT / name, project.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "uv.lock", project.folder)
    shutil.copy(ROOT / "pyproject.toml", project.folder)
    return project


def test_another_agent_comes_in_place_under_a_running_map_and_no_item_fails(clone: Project, gate: pathlib.Path) -> None:
    clone.create("demo", fleet(2))
    clone.up()
    before = clone.inventory()
    answers = clone.base / "answers"
    answers.touch()
    (clone.base / "items").write_text("".join(f"{index}\n" for index in range(ITEMS)))
    item = f'[ "$GAXX_ITEM" -lt {ITEMS - LAST} ] || until [ -e {gate} ]; do sleep 0.2; done'
    work = f"exec gaxx map --json -a {clone.base}/items -- sh -c {shlex.quote(item)} >{answers} 2>{clone.base}/said"
    with clone.started("sh", "-c", work) as mapping:
        until(lambda: answers.stat().st_size > 0, deadline_s=60)
        with (clone.folder / "agent/__init__.py").open("a") as file:
            file.write("# Another version.\n")

        clone.up()

        assert mapping.poll() is None, (clone.base / "said").read_text()
        gate.touch()
        mapping.wait(timeout=240)
    ledger = json.loads(answers.read_text().splitlines()[-1])
    assert (mapping.returncode, ledger["ok"], ledger["failed"]) == (0, ITEMS, 0), (clone.base / "said").read_text()
    after = clone.inventory()
    assert [node.machine_id for node in after.nodes] == [node.machine_id for node in before.nodes]
    assert not {node.agent_build for node in after.nodes} & {node.agent_build for node in before.nodes}
    for node in after.nodes:
        serving = pathlib.Path(f"/proc/{remains.listener(node.address, node.agent_port)}/environ").read_bytes()
        assert f"GAXX_AGENT_BUILD={node.agent_build}".encode() in serving.split(b"\0")
    clone.pulumi("preview", "--expect-no-changes")
