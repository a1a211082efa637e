"""Stacks and users side by side: none sees, reaches or disturbs the machines of another."""

import json
import os
import pathlib
import shutil
import stat
import sys
from collections.abc import Iterator

import pytest

from tests.stack import remains
from tests.stack.mount_space import mount_space
from tests.stack.project import ROOT, Project, fleet, new_project

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

_UID = 54321
_NAME = "gaxx-second"


def test_two_stacks_of_a_project_do_not_see_each_other(project: Project) -> None:
    project.create("one", fleet(2))
    project.create("two", fleet(1))
    with project.started("pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--stack", "one") as first:
        project.up("--stack", "two")
        output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output.decode()
    one, two = project.inventory("one"), project.inventory("two")
    assert {node.address for node in one.nodes}.isdisjoint(node.address for node in two.nodes)
    assert one.authority_certificate != two.authority_certificate
    assert len(list(project.nodes_folder.iterdir())) == 2, "each stack has a folder of its own"

    told = project.gaxx("run", "--stack", "two", "--", "sh", "-c", "echo $GAXX_NODE; pwd")
    assert "demo-1" in told.stdout
    assert "demo-2" not in told.stdout
    project.destroy("--stack", "one")

    assert remains.listening(node.address for node in one.nodes) == set()
    project.gaxx("run", "--stack", "two", "--", "true")
    project.pulumi("preview", "--expect-no-changes", "--stack", "two")


def test_the_certificate_of_one_stack_opens_no_node_of_another(project: Project) -> None:
    project.create("one", fleet(1))
    project.create("two", fleet(1))
    project.up("--stack", "one")
    project.up("--stack", "two")
    one, two = project.inventory("one"), project.inventory("two")
    caches = {json.loads(path.read_text())["stack"]: path for path in project.cache.glob("inventory/*")}
    mixed = json.loads(caches["one"].read_text())
    # Everything of stack one, but pointed at the node of stack two.
    for key in ("address", "ssh_host"):
        mixed["nodes"][0][key] = two.nodes[0].address
    caches["one"].write_text(json.dumps(mixed))

    over_agent = project.gaxx("run", "--stack", "one", "--", "touch", "arrived", check=None)
    caches["one"].write_text(json.dumps(mixed))
    over_ssh = project.gaxx("run", "--stack", "one", "--via", "ssh", "--", "touch", "arrived", check=None)

    assert one.nodes[0].address != two.nodes[0].address
    assert over_ssh.code == 2, over_ssh.text
    assert "Traceback" not in over_agent.text + over_ssh.text
    foreign = project.nodes_folder / project.resource("LocalNode", "demo-1", "two")["inputs"]["stackKey"]
    assert list(foreign.rglob("arrived")) == []


@pytest.fixture
def second_user(bundles: pathlib.Path) -> Iterator[Project]:
    """A project of another user of this machine, who exists in a mount namespace only."""
    with new_project(bundles) as project:
        accounts = project.base / "accounts"
        accounts.mkdir()
        passwd = f"{_NAME}:x:{_UID}:{_UID}::{project.home}:/bin/sh\n"
        for name, entry, mode in (("passwd", passwd, 0o644), ("shadow", f"{_NAME}:*:::::::\n", 0o600)):
            (accounts / name).write_text(pathlib.Path("/etc", name).read_text() + entry)
            (accounts / name).chmod(mode)
        # Bundles of their own: what root has made they could not write beside.
        (project.cache / "bundles").unlink()
        shutil.copytree(bundles, project.cache / "bundles")
        give_away(project)
        binds = [f"mount --bind {accounts / name} /etc/{name}" for name in ("passwd", "shadow")]
        reach = reachable(project.base / "reach", (ROOT, pathlib.Path(sys.base_prefix)))
        with mount_space(project.folder, *binds, *reach) as inside:
            become = ("setpriv", f"--reuid={_UID}", f"--regid={_UID}", "--clear-groups", "--")
            project.prefix = (*inside, *become)
            yield project
            for stack in project.stacks:
                project.destroy("--stack", stack)
        project.prefix = ()
        project.stacks.clear()


def give_away(project: Project) -> None:
    """Make everything of the project the second user's."""
    for folder in (project.home, project.folder, project.base / "state"):
        for path in (folder, *folder.rglob("*")):
            os.chown(path, _UID, _UID, follow_symlinks=False)


def reachable(staging: pathlib.Path, needed: tuple[pathlib.Path, ...]) -> Iterator[str]:
    """Shell lines that open the way to `needed` where a folder above is closed (a Python below root's home, say)."""
    closed = {folder for path in needed for folder in path.parents if not folder.stat().st_mode & stat.S_IXOTH}
    for number, path in enumerate(needed):
        yield f"mkdir -p {staging}/{number} && mount --rbind {path} {staging}/{number}"
    for folder in sorted(closed):
        yield f"mount -t tmpfs -o mode=0755 none {folder}"
    for number, path in enumerate(needed):
        if closed.intersection(path.parents):
            yield f"mkdir -p {path} && mount --rbind {staging}/{number} {path}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_second_user_of_the_machine_has_machines_of_their_own(standing: Project, second_user: Project) -> None:
    second_user.create("demo", fleet(2))
    second_user.up()
    theirs, ours = second_user.inventory().nodes, standing.inventory().nodes
    assert {node.ssh_user for node in theirs} == {_NAME}
    assert {node.address for node in theirs}.isdisjoint(node.address for node in ours)

    assert f"uid={_UID}" in second_user.gaxx("run", "--", "id").stdout
    assert f"uid={_UID}" not in standing.gaxx("run", "--", "id").stdout
    for owner, reader in ((standing, second_user), (second_user, standing)):
        machine = owner.machine("demo-1")
        for name in ("etc/ssh/ssh_host_ed25519_key", "etc/gaxx/tls/node.key", "etc/gaxx/manifest.json"):
            assert (machine / name).exists()
            denied = reader.gaxx("run", "-n", "demo-1", "--", "cat", str(machine / name), check=3)
            assert "Permission denied" in denied.text
    second_user.destroy()

    assert remains.listening(node.address for node in theirs) == set()
    assert remains.listening(node.address for node in ours), "the first user's nodes serve on"
    standing.gaxx("run", "--", "true")
