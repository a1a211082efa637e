"""Tokens are in the environment alone; what is deleted behind our back is made anew; strangers' machines stay."""

import base64
import os
import pathlib

import pytest

from tests.clouds.rehearsed import STACK, Rehearsed, linode, vultr
from tests.stack.test_secrets import sampled_command_lines

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(300)]


def test_tokens_are_nowhere_and_lost_machines_come_back_and_strangers_stay(rehearsed: Rehearsed) -> None:
    project, accounts = rehearsed.project, rehearsed.accounts
    tokens = [accounts.variables["LINODE_TOKEN"], accounts.variables["VULTR_API_KEY"]]
    rehearsed.create(linode(1), vultr(1))
    with sampled_command_lines() as lines:
        said = project.pulumi("up", "--yes", "--diff").text
    assert any(b"standin.linode" in line for line in lines), "one looked often enough"
    assert any(b"exec(compile(" in line for line in lines), "also at what lives for a moment"
    # Pulumi's own trace shows secret properties to whoever asks for it; a token is no property.
    traced = project.pulumi("preview", "--logtostderr", "-v=9").text
    shown = said + traced + project.pulumi("stack", "export", "--show-secrets", "--stack", STACK).stdout

    assert not [token for token in tokens if token in shown], "neither log nor state knows a token"
    assert _holding(project.base, tokens) == [], "no file of the project holds one"
    assert "userData" in said
    assert "#cloud-config" not in said, "neither preview nor update prints user-data"
    assert base64.b64encode(b"#cloud-config\npackage").decode()[:24] not in said

    before = accounts.ids()
    (machine,) = accounts.linodes()
    identity = project.resource("BootstrapIdentity", "west-1", STACK)["outputs"]["hostPublicKey"]
    accounts.linode("DELETE", f"linode/instances/{machine['id']}")
    project.up()
    assert len(accounts.ids()) == 2
    assert len(accounts.ids() & before) == 1
    fresh = project.resource("BootstrapIdentity", "west-1", STACK)["outputs"]["hostPublicKey"]
    assert fresh != identity, "another machine boots from other secrets"
    project.gaxx("run", "--", "true")
    project.pulumi("preview", "--expect-no-changes")

    # The same tags but another backend's: somebody else's.
    (ours,) = accounts.linodes()
    foreign = [tag if not tag.startswith("gaxx:backend=") else "gaxx:backend=ffffffffffff" for tag in ours["tags"]]
    order = {"region": "nl-ams", "type": "g6-nanode-1", "label": f"{ours['label'][:40]}-x", "tags": foreign}
    stranger = accounts.linode("POST", "linode/instances", order)
    lost = accounts.linode("POST", "linode/instances", {**order, "label": "lost-1", "tags": ours["tags"]})
    with sampled_command_lines() as more:
        said = project.destroy().text
    every = b"\n".join(lines | more)
    assert not [token for token in tokens if token.encode() in every], "no process was ever given one as an argument"
    assert f"{lost['label']}" in said, "the sweep says what it removes"
    assert accounts.ids() == {str(stranger["id"])}
    accounts.linode("DELETE", f"linode/instances/{stranger['id']}")


def _holding(folder: pathlib.Path, words: list[str]) -> list[str]:
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
            content = path.read_bytes()
            found += [str(path) for word in words if word.encode() in content]
    return found
