"""Changes to a fleet that is up: settings and people, in place."""

import datetime as dt
import json
import typing

import pytest

from tests.stack.people import owner, person
from tests.stack.project import Project, fleet

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


def manifest(project: Project, node: str) -> dict[str, typing.Any]:
    found: dict[str, typing.Any] = json.loads((project.machine(node) / "etc/gaxx/manifest.json").read_text())
    return found


def test_settings_change_in_place_and_items_see_them(standing: Project) -> None:
    before = standing.inventory().nodes
    files = {"/opt/motd.txt": {"content": "hello\n", "mode": "0600"}}

    changed = fleet(
        3, trustedCidrs=["10.1.0.0/16"], env={"COLOUR": "teal"}, files=files, groups=["gpu"], idle="45m", slots=1
    )
    standing.configure("demo", {**changed, "ttl": "4h"})
    done = standing.up()

    assert "replac" not in done.text
    after = standing.inventory().nodes
    assert [(node.machine_id, node.ssh_host_keys) for node in after] == [
        (node.machine_id, node.ssh_host_keys) for node in before
    ]
    assert all(node.expires and node.slots == 1 for node in after)
    assert {manifest(standing, "demo-2")[key] for key in ("expires", "idle_s", "slots")} == {after[1].expires, 2700, 1}
    assert manifest(standing, "demo-2")["trustedCidrs"] == ["10.1.0.0/16"]
    assert "teal" in standing.gaxx("run", "-n", "@gpu", "--", "sh", "-c", "echo $COLOUR").stdout
    motd = standing.machine("demo-3") / "opt/motd.txt"
    assert motd.read_text() == "hello\n"
    assert motd.stat().st_mode & 0o777 == 0o600
    standing.pulumi("preview", "--expect-no-changes")


def test_a_fleet_that_is_extended_lives_longer_and_not_longer_than_the_longest(standing: Project) -> None:
    standing.configure("demo", {**fleet(3), "ttl": "4h", "maxTtl": "8h"})
    standing.up()
    before = standing.inventory().nodes
    path = standing.folder / "stacks/Pulumi.demo.yaml"

    said = standing.gaxx("extend", "1h30m", "--yes", "--stack", "demo").stderr

    after = standing.inventory().nodes
    assert "gaxx: gaxx:ttl: 4h -> 5h30m" in said
    assert f"gaxx: the first machine ends at {min(node.expires for node in after)}, 5h2" in said
    assert [node.machine_id for node in after] == [node.machine_id for node in before]
    grown = [dt.datetime.fromisoformat(node.expires) for node in after]
    assert [end - dt.datetime.fromisoformat(node.expires) for end, node in zip(grown, before, strict=True)] == [
        dt.timedelta(hours=1, minutes=30)
    ] * 3
    assert [manifest(standing, node.name)["expires"] for node in after] == [node.expires for node in after]

    text = path.read_text()
    for by, why in (
        ("3h", "8h30m is longer than 8h; gaxx:maxTtl raises the limit"),
        ("90", "'90' is not a duration; it has no unit"),
    ):
        refused = standing.gaxx("extend", by, "--yes", check=1)
        assert why in refused.stderr
        assert path.read_text() == text
    standing.configure("demo", fleet(3))
    assert "no gaxx:ttl, so the machines have no end" in standing.gaxx("extend", "1h", "--yes", check=1).stderr
    standing.up()


def test_settings_that_are_no_longer_declared_are_gone(standing: Project) -> None:
    standing.configure("demo", {**fleet(3, env={"COLOUR": "teal"}, files={"/opt/motd.txt": "hello\n"}), "ttl": "4h"})
    standing.up()
    before = standing.inventory().nodes

    standing.configure("demo", fleet(3))
    standing.up()

    after = standing.inventory().nodes
    assert [node.machine_id for node in after] == [node.machine_id for node in before]
    assert all(node.expires == "" for node in after)
    assert not (standing.machine("demo-3") / "opt/motd.txt").exists()
    assert "unset" in standing.gaxx("run", "--", "sh", "-c", "echo ${COLOUR-unset}").stdout
    assert standing.gaxx("run", "-n", "@gpu", "--", "true", check=1).stderr.startswith("gaxx: ")


def test_an_operator_is_let_in_and_locked_out_of_live_nodes(standing: Project) -> None:
    ada, bob = owner(standing), person(standing, "bob")
    standing.configure("demo", fleet(3))
    standing.up()
    stranger = standing.gaxx("run", "--", "true", env=bob.environment, check=2)
    assert "not among the stack's operators" in stranger.stderr
    machines = [node.machine_id for node in standing.inventory().nodes]

    standing.configure("demo", {**fleet(3), "operators": [ada.entry(), bob.entry()]})
    standing.up()
    standing.gaxx("run", "--", "true", env=bob.environment)
    standing.gaxx("run", "--via", "ssh", "--", "true", env=bob.environment)
    standing.configure("demo", {**fleet(3), "operators": [ada.entry()]})
    standing.up()

    # Bob's controller still has the inventory with his certificate and token in it.
    refused = standing.gaxx("run", "--", "true", env=bob.environment, check=2)
    assert "gaxx: " in refused.stderr
    assert "Traceback" not in refused.stderr
    standing.gaxx("run", "--via", "ssh", "--", "true", env=bob.environment, check=2)
    standing.gaxx("run", "--", "true")
    assert [node.machine_id for node in standing.inventory().nodes] == machines


def test_an_observer_looks_and_does_not_execute(standing: Project) -> None:
    ada, eve = owner(standing), person(standing, "eve")
    standing.configure("demo", {**fleet(3), "operators": [ada.entry(), eve.entry("observer")]})
    standing.up()

    standing.gaxx("status", env=eve.environment)
    refused = standing.gaxx("run", "--", "true", env=eve.environment, check=2)

    assert "observer" in refused.text
    standing.gaxx("run", "--via", "ssh", "--", "true", env=eve.environment, check=2)


def test_a_denied_certificate_is_refused_and_another_person_is_not(standing: Project) -> None:
    ada, bob = owner(standing), person(standing, "bob")
    people = {"operators": [ada.entry(), bob.entry()]}
    standing.configure("demo", {**fleet(3), **people})
    standing.up()
    serials = {
        resource["outputs"]["name"]: resource["outputs"]["serial"]
        for resource in standing.resources()
        if resource["type"] == "gaxx:index:OperatorCertificate"
    }

    standing.configure("demo", {**fleet(3), **people, "deniedSerials": [serials["bob"]]})
    standing.up()

    refused = standing.gaxx("run", "--", "true", env=bob.environment, check=2)
    assert "denied" in refused.text
    assert "denied" in standing.gaxx("status", env=bob.environment, check=2).text
    standing.gaxx("run", "--", "true")
