"""What goes wrong around a fleet is one clear line, and leaves nothing half done."""

import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator

import pytest

from components.inventory import Node
from tests.stack import remains
from tests.stack.mount_space import mount_space
from tests.stack.project import Done, Project, fleet
from tests.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mount namespaces are root's")


def errors(done: Done) -> list[str]:
    """What Pulumi reports as wrong, without its own words that something was."""
    assert "Traceback" not in done.text
    found = [line.strip().removeprefix("error: ") for line in done.stdout.splitlines() if re.match(r"\s+error: ", line)]
    return [line for line in found if line not in {"update failed", "preview failed"}]


@pytest.fixture
def impostor(standing: Project) -> Iterator[Node]:
    """A node whose sshd presents another host key than its own."""
    node = standing.inventory().nodes[1]
    folder = standing.machine(node.name) / "etc/ssh"
    names = ("ssh_host_ed25519_key", "ssh_host_ed25519_key.pub")
    own = {name: (folder / name).read_bytes() for name in names}
    standing.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(standing.base / "other"))
    for name, other in zip(names, ("other", "other.pub"), strict=True):
        # Written into the same file: it belongs to the account that runs the node.
        (folder / name).write_bytes((standing.base / other).read_bytes())
        (standing.base / other).unlink()
    reload_sshd(standing, node)
    yield node
    for name in names:
        (folder / name).write_bytes(own[name])
    reload_sshd(standing, node)


def reload_sshd(project: Project, node: Node) -> None:
    os.kill(int((project.machine(node.name) / "run/sshd.pid").read_text()), signal.SIGHUP)
    public = (project.machine(node.name) / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[1]
    scan = ("ssh-keyscan", "-T", "5", "-t", "ed25519", "-p", str(node.ssh_port), node.ssh_host)
    until(lambda: public in project.run(*scan, check=None).stdout)


def test_a_changed_host_key_is_refused_by_every_way_in(standing: Project, impostor: Node) -> None:
    over_ssh = standing.gaxx("run", "--via", "ssh", "--", "echo", "arrived", check=2)
    shell = standing.gaxx("ssh", impostor.name, "--", "echo", "arrived", check=2)
    standing.configure("demo", fleet(3, env={"COLOUR": "teal"}))
    update = standing.up(check=None)

    assert "host key" in over_ssh.stderr + over_ssh.stdout
    assert over_ssh.stdout.count("arrived") == 1, "the other two answered, as one"
    assert "arrived" not in shell.stdout
    assert update.code != 0
    assert errors(update) == [
        line for line in errors(update) if line.startswith(f"{impostor.name}: the SSH host key at")
    ]
    assert len(errors(update)) == 1


def test_once_the_right_key_is_back_the_update_goes_through(standing: Project) -> None:
    standing.configure("demo", fleet(3, env={"COLOUR": "teal"}))
    standing.up()

    assert "teal" in standing.gaxx("run", "--", "sh", "-c", "echo $COLOUR").stdout
    standing.gaxx("run", "--via", "ssh", "--", "true")


def test_a_taken_port_is_named_and_the_next_update_mends_the_node(standing: Project) -> None:
    node = standing.inventory().nodes[2]
    remains.kill(f"{standing.machine(node.name)}/")
    until(lambda: not remains.listening([node.address]))

    with socket.create_server((node.address, node.agent_port)):
        failed = standing.up(check=None)

    assert failed.code != 0
    (error,) = errors(failed)
    assert error.startswith(f"{node.name}: ")
    assert f"{node.address}:{node.agent_port}" in error
    assert "taken" in error
    standing.up()
    standing.gaxx("run", "--", "true")
    assert standing.inventory().nodes[2].machine_id == node.machine_id


def test_five_faults_of_the_settings_are_all_shown_by_every_command(project: Project) -> None:
    project.create(
        "demo",
        {
            "ttl": "soon",
            "fleets": [
                {"name": "Demo!", "cloud": "local", "nodes": -1, "trustedCidrs": ["0.0.0.0/0"], "colour": "teal"},
            ],
        },
    )
    paths = ("gaxx:ttl", *(f"gaxx:fleets[0].{key}" for key in ("name", "nodes", "trustedCidrs", "colour")))

    for done in (
        project.up(check=None),
        project.pulumi("preview", check=None),
        project.gaxx("check", "--stack", "demo", check=1),
    ):
        assert done.code != 0
        assert "Traceback" not in done.text
        for path in paths:
            assert path in done.text, f"{path} is shown by {done.argv}"
    assert project.machines() == []


@as_root
def test_a_missing_sshd_is_named_and_nothing_is_left(project: Project) -> None:
    nothing = project.base / "nothing"
    nothing.touch(mode=0o600)
    project.create("demo", fleet(1))

    with mount_space(project.folder, f"mount --bind {nothing} /usr/sbin/sshd") as inside:
        project.prefix = inside
        failed = project.up(check=None)
        project.prefix = ()

    assert failed.code != 0
    assert errors(failed) == ["demo-1: /usr/sbin/sshd is missing; install openssh-server (make setup)"]
    assert project.machines() == []
    project.up()
    project.gaxx("run", "--", "true")


@as_root
@pytest.mark.parametrize("free_mb", [4, 24, 40])
def test_a_full_disk_is_named_and_nothing_half_is_left(project: Project, free_mb: int) -> None:
    state = project.environment["GAXX_STATE_DIR"]
    project.create("demo", fleet(1))

    with mount_space(project.folder, f"mount -t tmpfs -o size={free_mb}m,mode=0711 none {state}") as inside:
        project.prefix = inside
        failed = project.up(check=None)
        left = project.run("find", state, "-path", "*/.bundles/*").stdout
        destroyed = project.destroy(check=None)
        project.prefix = ()

    assert failed.code != 0
    (error,) = errors(failed)
    assert error.startswith("demo-1: ")
    assert "disk full" in error
    assert left == "", "neither a bundle nor a part of one"
    assert destroyed.code == 0


def test_a_machine_that_dies_while_it_is_enrolled_is_one_clear_line(project: Project) -> None:
    project.create("demo", fleet(1))
    with project.started("pulumi", "up", "--yes", "--skip-preview", "--non-interactive") as update:
        until(lambda: project.machines() == ["demo-1"], deadline_s=60)
        until((project.machine("demo-1") / "machine.json").exists)
        remains.kill(f"{project.machine('demo-1')}/")
        shutil.rmtree(project.machine("demo-1"))
        output, _ = update.communicate(timeout=120)
    assert update.returncode != 0
    assert b"Traceback" not in output

    project.up()

    project.gaxx("run", "--", "true")
