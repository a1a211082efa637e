"""What a jump host may be, which words of OpenSSH's mean what, and how nothing of it becomes an option or a shell's."""

import json
import pathlib
import shlex
import subprocess
from typing import Any

import pytest

from components.errors import GaxxError, InventoryError, NodeError, Refused
from components.inventory import Inventory, Node
from components.jump_host import JumpHost, JumpHostError, is_dropped

BASTION = JumpHost.parse("ada@bastion.example.org:2022")


@pytest.mark.parametrize("text", ["bastion", "bastion:22", "ada@bastion", "ada@[2001:db8::7]:22", "a.b@192.0.2.7"])
def test_what_is_read_is_written_the_same(text: str) -> None:
    assert str(JumpHost.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "-oProxyCommand=x", "a b", "a;b", "ada@-x", "$(x)", "a@b@c", "h:0", "h:65536", "h:", "[x]", "h\n"]
)
def test_what_ssh_or_a_shell_could_take_for_something_else_is_none(text: str) -> None:
    with pytest.raises(GaxxError):
        JumpHost.parse(text)


def test_what_is_not_said_is_left_to_the_users_settings() -> None:
    line = JumpHost.parse("bastion").command("192.0.2.9", 22)
    assert line[-4:] == ["-W", "[192.0.2.9]:22", "--", "bastion"]
    assert not {"-l", "-p", "-F", "-i"} & set(line)


def test_ssh_takes_every_option_as_it_is_meant(tmp_path: pathlib.Path) -> None:
    # `ssh -G` says what it would do, after the user's own settings, which here want the opposite.
    (tmp_path / "config").write_text(
        "Host *\nStrictHostKeyChecking no\nForwardAgent yes\nControlMaster auto\nControlPath /tmp/x\nBatchMode no\n"
        "VerifyHostKeyDNS yes\nLocalForward 1 h:1\nUser eve\nPort 23\nIdentityFile /home/ada/key\n"
    )
    program, *options = BASTION.command("192.0.2.9", 22)
    line = [program, "-G", "-F", str(tmp_path / "config"), *options]
    said = subprocess.run(line, check=True, capture_output=True, text=True).stdout.splitlines()
    for wanted in (
        "user ada",
        "port 2022",
        "hostname bastion.example.org",
        "stricthostkeychecking true",
        "forwardagent no",
        "controlmaster false",
        "batchmode yes",
        "verifyhostkeydns false",
        "clearallforwardings yes",
        "identityfile /home/ada/key",
    ):
        assert wanted in said
    assert not any(word.startswith(("localforward", "controlpath")) for word in said)


def test_a_file_for_its_words_may_be_called_anything() -> None:
    words = shlex.split(BASTION.proxy_command("/tmp/100% mine/log"))
    assert words[words.index("-E") + 1] == "/tmp/100%% mine/log"
    assert words[words.index("-W") + 1] == "[%h]:%p"


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (
            "No ED25519 host key is known and you have requested strict checking.\r\nHost key verification failed.\r\n",
            Refused,
            "is not known; `ssh -p 2022 ada@bastion.example.org` once by hand, or `ssh-keyscan -p 2022 bastion.example",
        ),
        (
            "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\r\nHost key verification failed.\r\n",
            Refused,
            "is not the one that your known_hosts has",
        ),
        ("Welcome.\r\nada@b: Permission denied (publickey).\r\n", Refused, "permission denied (publickey)"),
        (
            "Welcome: please.\r\nssh: connect to host b port 2022: Connection refused\r\n",
            JumpHostError,
            "bastion.example.org:2022: connection refused",
        ),
        (
            "ssh: Could not resolve hostname b: Name or service not known\r\n",
            JumpHostError,
            ":2022: name or service not known",
        ),
        (
            "kex_exchange_identification: Connection closed by remote host\r\nConnection closed by 192.0.2.1\r\n",
            JumpHostError,
            ":2022: connection closed by remote host",
        ),
        (
            "channel 0: open failed: connect failed: No route to host\r\nstdio forwarding failed\r\n",
            NodeError,
            "no route to host (from the jump host ada@bastion.example.org:2022)",
        ),
        (
            "channel 0: open failed: administratively prohibited: open failed\r\nstdio forwarding failed\r\n",
            JumpHostError,
            "does not lead on to it: administratively prohibited",
        ),
        ("", NodeError, "no answer in time (through the jump host ada@bastion.example.org:2022)"),
    ],
)
def test_what_ssh_says_becomes_one_line_that_names_who_is_to_blame(
    said: str, kind: type[GaxxError], words: str
) -> None:
    fault = BASTION.fault("demo-1", said)
    assert type(fault) is kind
    assert words in str(fault)
    assert str(fault).startswith("demo-1: ")
    assert "\n" not in str(fault)


def test_only_who_is_hung_up_on_before_a_word_tries_again() -> None:
    assert is_dropped("kex_exchange_identification: read: Connection reset by peer\r\n")
    assert not is_dropped("ssh: connect to host b port 22: Connection refused\r\n")


NODE: dict[str, Any] = {
    "name": "demo-1", "fleet": "demo", "index": 1, "cloud": "linode", "region": "nl-ams", "type": "t", "image": "i",
    "machine_id": "7", "address": "192.0.2.9", "reach": "ssh", "ssh_host": "192.0.2.9", "ssh_port": 22,
    "ssh_user": "gaxx", "ssh_host_keys": [], "agent_port": 8088, "metrics_port": 9091, "tls_name": "demo-1.demo.gaxx",
    "slots": 1, "groups": [], "created": "", "expires": "", "agent_build": "",
}  # fmt: skip
DOCUMENT: dict[str, Any] = {
    "version": 1, "project": "gaxx", "stack": "demo", "backend_id": "b", "authority_certificate": "", "principals": [],
}  # fmt: skip


def read(**more: str) -> Node:
    return Inventory.from_json(json.dumps({**DOCUMENT, "nodes": [{**NODE, **more}]})).nodes[0]


def test_an_inventory_from_before_there_were_jump_hosts_is_read() -> None:
    assert read().jump is None


def test_an_inventory_tells_the_jump_host() -> None:
    assert read(jump_host="ada@bastion").jump == JumpHost("bastion", 0, "ada")


def test_an_inventory_whose_jump_host_is_a_command_is_refused() -> None:
    with pytest.raises(InventoryError, match="jump host that is none"):
        read(jump_host="x; rm -rf ~")
