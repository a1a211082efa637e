"""`gaxx reap` against the rehearsed vendors: what is over goes, what is forgotten goes, what is another's stays."""

import json
import pathlib
import shutil
import typing

import pytest

from components import backend, naming
from tests.clouds.rehearsed import STACK, Rehearsed, linode, new_rehearsed, vultr
from tests.stack.project import Project, assert_nothing_left, fleet
from tests.waiting import until

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(300)]

NOBODY = "ffffffffffff"
NETWORK: dict[str, object] = {"label": "lost", "region": "nl-ams"}


def reap(project: Project, *words: str, check: int = 0) -> list[dict[str, typing.Any]]:
    """Run it without grace, and return its records."""
    done = project.gaxx("reap", "--json", "--grace", "0", *words, check=check)
    return [json.loads(line) for line in done.stdout.splitlines()]


def found(records: list[dict[str, typing.Any]], verdict: str) -> list[tuple[str, str, str]]:
    """What has that verdict: cloud, kind and id."""
    return sorted((one["cloud"], one["kind"], one["id"]) for one in records if one.get("verdict") == verdict)


def tags_of(rehearsed: Rehearsed) -> list[str]:
    """The tags of the stack's only Linode."""
    (machine,) = rehearsed.accounts.linodes()
    return list(machine["tags"])


def foreign(tags: list[str], key: str, value: str) -> list[str]:
    """The same tags, but of somebody else."""
    return [tag for tag in tags if not tag.startswith(f"gaxx:{key}=")] + [f"gaxx:{key}={value}"]


def order(label: str, tags: list[str]) -> dict[str, object]:
    """A Linode that nobody enters."""
    return {"region": "nl-ams", "type": "g6-nanode-1", "label": label, "tags": tags}


def test_orphans_of_every_kind_are_deleted_and_those_of_others_are_listed_and_stay(rehearsed: Rehearsed) -> None:
    project, accounts = rehearsed.project, rehearsed.accounts
    rehearsed.create(linode(1), vultr(1))
    project.up()
    tags, kept = tags_of(rehearsed), accounts.ids()
    whose = [tag for tag in tags if tag.startswith(("gaxx:project=", "gaxx:backend=", "gaxx:stack="))]
    words = " ".join(whose)
    key = {"name": "lost", "ssh_key": f"ssh-ed25519 AAAA {words}"}
    mine = {
        ("linode", "machine", str(accounts.linode("POST", "linode/instances", order("lost-1", tags))["id"])),
        (
            "linode",
            "machine",
            str(accounts.linode("POST", "linode/instances", order("lost-2", foreign(tags, "stack", "gone")))["id"]),
        ),
        ("linode", "network", str(accounts.linode("POST", "vpcs", {**NETWORK, "description": words})["id"])),
        ("vultr", "firewall", accounts.vultr("POST", "firewalls", {"description": words})["firewall_group"]["id"]),
        ("vultr", "network", accounts.vultr("POST", "vpcs", {"region": "ams", "description": words})["vpc"]["id"]),
        (
            "vultr",
            "key",
            accounts.vultr("POST", "ssh-keys", key)["ssh_key"]["id"],
        ),
    }
    others = [
        accounts.linode("POST", "linode/instances", order("theirs-1", foreign(tags, "backend", NOBODY))),
        accounts.linode("POST", "linode/instances", order("theirs-2", foreign(tags, "project", "other"))),
        accounts.linode("POST", "linode/instances", order("both", [*tags, f"gaxx:backend={NOBODY}"])),
        accounts.linode("POST", "linode/instances", order("plain", ["web"])),
    ]
    before = accounts.left()

    young = project.gaxx("reap", "--json").stdout
    assert {one["id"] for one in map(json.loads, young.splitlines()) if one.get("verdict") == "recent"} == {
        one for _, _, one in mine
    }
    dry = reap(project)
    assert set(found(dry, "orphan")) == mine
    assert len(found(dry, "foreign")) == 3, "of a machine without our tags nothing is said"
    assert [one["verdict"] for one in dry if one["event"] == "stack"] == ["kept"]
    assert accounts.left() == before, "a dry run changes nothing"

    done = reap(project, "--yes")
    assert {one["outcome"] for one in done if one["event"] == "done"} == {"deleted"}
    until(lambda: accounts.ids() == kept | {str(one["id"]) for one in others}, deadline_s=30)
    assert found(reap(project), "orphan") == []
    for one in others:
        accounts.linode("DELETE", f"linode/instances/{one['id']}")


def test_a_stack_whose_time_is_over_is_destroyed_with_what_it_lost(rehearsed: Rehearsed) -> None:
    project, accounts = rehearsed.project, rehearsed.accounts
    rehearsed.create(linode(1), vultr(1))
    project.up()
    project.create("other", fleet(1))
    project.up("--stack", "other")
    (west,), (east,) = accounts.linodes(), accounts.vultrs()
    accounts.linode("POST", "linode/instances", order("lost-1", west["tags"]))
    accounts.linode("PUT", f"linode/instances/{west['id']}", {"tags": over(west["tags"])})
    some = reap(project, "--stack", STACK)
    assert [(one["stack"], one["verdict"]) for one in some if one["event"] == "stack"] == [(STACK, "kept")]
    assert "1 of 2 machines are over" in some[0]["why"], "it goes with the last of them"
    accounts.vultr("PATCH", f"instances/{east['id']}", {"tags": over(east["tags"])})

    dry = project.gaxx("reap")
    assert [line.split()[:2] for line in dry.stdout.splitlines()[1:3]] == [["other", "kept"], [STACK, "expired"]]
    assert "--yes does it" in dry.stderr
    assert "$0.0" in dry.stdout, "what it costs an hour is said"

    done = project.gaxx("reap", "--yes", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["what"], one["outcome"]) for one in lines if one["event"] == "done"] == [
        (f"stack {STACK}", "destroyed")
    ], "Pulumi's own words are not on stdout"
    assert project.resources(STACK) == []
    until(lambda: accounts.ids() == set(), deadline_s=30)
    assert len(project.resources("other")) > 1, "the other stack stays"


def over(tags: list[str]) -> list[str]:
    """The same tags with a time to live that is over."""
    return foreign(tags, "ttl", "1s")


def test_tokens_are_neither_shown_nor_needed_to_be_told_what_was_not_asked(rehearsed: Rehearsed) -> None:
    project, accounts = rehearsed.project, rehearsed.accounts
    rehearsed.create(linode(1))
    project.up()
    environment = dict(project.environment)
    token = environment.pop("LINODE_TOKEN")
    kept = project.environment.copy()
    project.environment.clear()
    project.environment.update(environment)
    try:
        done = project.gaxx("reap", "--yes", check=5)
        assert "linode was not asked: LINODE_TOKEN is not in the environment, and machines of prod are there" in (
            done.stderr
        )
        project.environment["LINODE_TOKEN"] = "f" * 64
        wrong = project.gaxx("reap", "--yes", check=5)
        assert "Invalid Token" in wrong.stderr
        assert "f" * 64 not in wrong.text
        assert token not in done.text
    finally:
        project.environment.clear()
        project.environment.update(kept)
    assert len(accounts.ids()) == 1


def test_nothing_is_an_orphan_while_a_state_cannot_be_read_or_an_update_may_be_making_it(rehearsed: Rehearsed) -> None:
    project, accounts = rehearsed.project, rehearsed.accounts
    rehearsed.create(linode(1))
    project.up()
    lost = accounts.linode("POST", "linode/instances", order("lost-1", tags_of(rehearsed)))
    locks = project.home / "backend/.pulumi/locks/organization/gaxx" / STACK
    locks.mkdir(parents=True, exist_ok=True)
    (locks / "0.json").write_text("{}")
    assert found(reap(project, "--yes"), "locked") == [("linode", "machine", str(lost["id"]))]
    shutil.rmtree(locks)

    file = project.state_file(STACK)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    refused = project.gaxx("reap", "--yes", "--grace", "0", check=1)
    assert "the backend does not name its stacks" in refused.stderr
    file.write_bytes(whole)

    assert len(accounts.ids()) == 2
    assert found(reap(project, "--yes"), "orphan") == [("linode", "machine", str(lost["id"]))]
    until(lambda: len(accounts.ids()) == 1, deadline_s=30)


def test_a_vendor_that_fails_answers_late_and_in_disorder_is_asked_until_it_answers(bundles: pathlib.Path) -> None:
    faults = "429=0.1,500=0.1/10,late-delete=1,disorder=1"
    with new_rehearsed(bundles, "--faults", faults, "--seed", "3") as rehearsed:
        accounts, project = rehearsed.accounts, rehearsed.project
        url = project.environment["PULUMI_BACKEND_URL"]
        project.pulumi("stack", "init", "empty")
        backend.ensure_own_id(url, project.folder)
        whose = {"project": "gaxx", "backend_id": backend.backend_id(url, project.folder)}
        tags = naming.tags(**whose, stack="gone", fleet="web", index=1, ttl="1h", owner="ada")
        for number in range(4):
            accounts.linode("POST", "linode/instances", order(f"lost-{number}", list(tags)))
        theirs = accounts.linode("POST", "linode/instances", order("theirs", foreign(list(tags), "backend", NOBODY)))
        reap(project, "--yes")
        until(lambda: accounts.ids() == {str(theirs["id"])}, deadline_s=30)
        accounts.linode("DELETE", f"linode/instances/{theirs['id']}")


def test_what_another_computer_made_with_a_backend_at_the_same_path_stays(rehearsed: Rehearsed) -> None:
    project, accounts = rehearsed.project, rehearsed.accounts
    rehearsed.create(linode(1))
    project.up()
    theirs = tags_of(rehearsed)
    identity = project.home / "backend/.pulumi/gaxx-id"
    ours = identity.read_text()

    # As if this computer had never seen theirs: another backend at the same path, with nothing in it.
    state = project.state_file(STACK)
    kept = state.read_bytes()
    identity.unlink()
    state.write_bytes(json.dumps({"version": 3, "checkpoint": {"stack": f"organization/gaxx/{STACK}"}}).encode())
    unclear = reap(project, "--yes")
    assert found(unclear, "orphan") == []
    backend.ensure_own_id(project.environment["PULUMI_BACKEND_URL"], project.folder)
    assert identity.read_text() != ours
    assert len(found(reap(project, "--yes"), "foreign")) == 2, "their machine and its firewall are somebody else's"
    assert [one["tags"] for one in accounts.linodes()] == [theirs]

    identity.write_text(ours)
    state.write_bytes(kept)
    assert found(reap(project), "foreign") == []


def test_nodes_on_this_computer_whose_stack_was_thrown_away_are_found_and_removed(project: Project) -> None:
    project.create("lost", fleet(2))
    project.up()
    project.pulumi("stack", "rm", "--force", "--yes", "--preserve-config", "lost")
    project.stacks.remove("lost")
    strange = project.nodes_folder / ("0" * 24) / "demo-1"
    strange.mkdir(parents=True)

    dry = reap(project)
    assert [(one["label"], one["stack"], one["verdict"]) for one in dry if one["event"] == "found"] == [
        ("demo-1", "", "foreign"),
        ("demo-1", "lost", "orphan"),
        ("demo-2", "lost", "orphan"),
    ]
    assert len(project.machines()) == 3
    reap(project, "--yes")
    assert project.machines() == ["demo-1"], "what cannot be told to be ours stays"
    shutil.rmtree(strange.parent)
    assert_nothing_left(project)


def test_a_stack_whose_nodes_are_idle_as_long_as_its_fleets_allow_is_destroyed(project: Project) -> None:
    project.create("demo", fleet(1, idle="1s"))
    project.create("busy", {"fleets": [{"name": "busy", "cloud": "local", "nodes": 1, "idle": "4h"}]})
    for stack in ("demo", "busy"):
        project.up("--stack", stack)

    def verdicts() -> dict[str, str]:
        return {one["stack"]: one["verdict"] for one in reap(project) if one["event"] == "stack"}

    until(lambda: verdicts() == {"demo": "idle", "busy": "kept"}, deadline_s=20)
    reap(project, "--yes")
    assert project.resources("demo") == []
    assert len(project.resources("busy")) > 1
