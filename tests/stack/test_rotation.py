"""Tokens, keys and the authority renewed under a fleet that works: in place, nothing failed, the old of no more use."""

import contextlib
import json
import os
import pathlib
import shlex
import signal

import pytest

from components.authority import Authority
from components.inventory import Inventory
from components.places import authority_file, inventory_cache, previous_authority_file
from components.provider import ssh_session
from components.provider.ssh_session import Endpoint, HostKeyChangedError, LoginRefusedError
from tests.stack import node_access, remains
from tests.stack.project import Project, fleet
from tests.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

ITEMS = 500
LAST = 20
"""So many items go on until the rotation is over."""


@pytest.fixture
def up(project: Project) -> Project:
    """Two nodes that serve."""
    project.create("demo", fleet(2))
    project.up()
    return project


def said(answers: pathlib.Path) -> str:
    """The last events of a map, for who has to find out what went wrong."""
    return "\n".join(answers.read_text().splitlines()[-40:])


def authority_of(project: Project, inventory: Inventory) -> pathlib.Path:
    name = authority_file(inventory.backend_id, inventory.project, inventory.stack).name
    (path,) = project.private.rglob(name)
    return path


def test_a_new_authority_takes_over_under_a_running_map_and_no_item_fails(up: Project, gate: pathlib.Path) -> None:
    before = up.inventory()
    path = authority_of(up, before)
    old = Authority.from_pem(path.read_text())
    answers = up.base / "answers"
    (up.base / "items").write_text("".join(f"{index}\n" for index in range(ITEMS)))
    item = f'[ "$1" -lt {ITEMS - LAST} ] || until [ -e {gate} ]; do sleep 0.2; done'
    work = f"exec gaxx map --json -a {up.base}/items -- sh -c {shlex.quote(item)} sh {{}} >{answers} 2>{up.base}/said"
    with up.started("sh", "-c", work) as mapping:
        until(lambda: answers.exists() and answers.stat().st_size > 0, deadline_s=60)

        rotated = up.gaxx("rotate", "--authority", "--yes")

        assert mapping.poll() is None, said(answers)
        gate.touch()
        mapping.wait(timeout=240)
    ledger = json.loads(answers.read_text().splitlines()[-1])
    assert (mapping.returncode, ledger["ok"], ledger["failed"]) == (0, ITEMS, 0), said(answers)
    assert "replace" not in rotated.stdout
    after = up.inventory()
    assert [node.machine_id for node in after.nodes] == [node.machine_id for node in before.nodes]
    new = Authority.from_pem(path.read_text())
    assert new.fingerprint != old.fingerprint
    assert after.authority_certificate == new.certificate_pem
    assert not previous_authority_file(path).exists()
    assert after.principals[0].token != before.principals[0].token
    up.pulumi("preview", "--expect-no-changes")
    # What the old authority signs opens nothing, at no door.
    with pytest.raises(LoginRefusedError), node_access.session(after.nodes[0], old):
        pass
    cached = inventory_cache(after.backend_id, after.project, after.stack).name
    (cache,) = up.cache.rglob(cached)
    cache.write_text(before.to_json())
    stale = up.gaxx("run", "--json", "--", "true", env={"PULUMI_CONFIG_PASSPHRASE_FILE": "/dev/null"}, check=None)
    assert stale.code == 2, stale.text


def test_new_keys_and_tokens_come_in_place_and_the_old_host_keys_are_refused(up: Project) -> None:
    before = up.inventory()
    node = before.nodes[0]
    tls_key = (up.machine(node.name) / "etc/gaxx/tls/node.key").read_text()

    up.gaxx("rotate", "--yes")

    after = up.inventory().nodes[0]
    assert after.machine_id == node.machine_id
    assert set(after.ssh_host_keys).isdisjoint(node.ssh_host_keys)
    assert (up.machine(node.name) / "etc/gaxx/tls/node.key").read_text() != tls_key
    assert not list(up.machine(node.name).rglob("old.key"))
    assert not list(up.machine(node.name).rglob("*.old"))
    operators = before.principals[0], up.inventory().principals[0]
    assert operators[0].token != operators[1].token
    assert operators[0].certificate != operators[1].certificate
    assert up.gaxx("run", "--", "true").code == 0
    assert up.gaxx("run", "--via", "ssh", "--", "true").code == 0
    old = Endpoint(node.name, node.ssh_host, node.ssh_port, node.ssh_host_keys)
    with pytest.raises(HostKeyChangedError), ssh_session.connect(old, node_access.bootstrap_login(up, node)):
        pass
    up.pulumi("preview", "--expect-no-changes")


def test_a_rotation_that_was_killed_half_way_goes_on_and_ends(up: Project) -> None:
    path = authority_of(up, up.inventory())
    machines = remains.descendants(1)
    signers = up.machine("demo-1") / "etc/gaxx/authority.allowed_signers"
    with up.started("gaxx", "rotate", "--authority", "--yes") as rotating:
        until(lambda: signers.read_text().count("\n") == 2, deadline_s=120)
        below = [pid for pid in remains.descendants(rotating.pid) if pid not in machines]
        rotating.kill()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        rotating.wait()
    begun = path.read_text()
    assert previous_authority_file(path).exists()

    up.gaxx("rotate", "--authority", "--yes")

    assert path.read_text() == begun, "it goes on with the one that it had begun with"
    assert signers.read_text().count("\n") == 1
    assert not previous_authority_file(path).exists()
    assert up.gaxx("run", "--", "true").code == 0
    up.pulumi("preview", "--expect-no-changes")
