"""User-data is judged as cloud-init reads it: decoded and parsed, never searched as text."""

import base64
import dataclasses
import gzip

import pytest
import yaml

from policy.declared import UNKNOWN, Declared
from tests.policy.examples import (
    MINIMAL_USER_DATA,
    changed,
    encoded,
    enrolment,
    judge,
    judge_stack,
    linode,
    local,
    user_data,
    vultr,
)

HARDENED = "user-data-hardened"
CREDENTIALS = "no-credentials"
MTLS = "mtls-required"
TOKEN = "ghp_" + "a1B2" * 9
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----\n"


def booted_from(cloud: str, text: str) -> Declared:
    if cloud == "linode":
        return linode(metadatas=encoded(text))
    return vultr(userData=text) if cloud == "vultr" else local(userData=text)


def minimal(**more: object) -> str:
    """The least that is accepted, with something else in it."""
    return "#cloud-config\n" + yaml.safe_dump({**yaml.safe_load(MINIMAL_USER_DATA), **more})


def written(content: object, **more: object) -> str:
    return minimal(write_files=[{"path": "/srv/file", "content": content, **more}])


CLOUDS = pytest.mark.parametrize("cloud", ["linode", "vultr", "local"])


@CLOUDS
@pytest.mark.parametrize("rule", [HARDENED, CREDENTIALS, MTLS])
@pytest.mark.parametrize("text", [user_data(), MINIMAL_USER_DATA], ids=["ours", "minimal"])
def test_hardened_user_data_is_accepted(cloud: str, rule: str, text: str) -> None:
    assert judge(rule, booted_from(cloud, text)) == []


@CLOUDS
@pytest.mark.parametrize(
    "text",
    [
        minimal(ssh_pwauth=True),
        minimal(ssh_pwauth="unchanged"),
        minimal(disable_root=False),
        minimal(password="correct horse"),
        minimal(chpasswd={"list": ["root:correct horse"]}),
        minimal(users=[{"name": "ada", "lock_passwd": False}]),
        minimal(users=[{"name": "ada", "lock_passwd": "no"}]),
        minimal(users=["default", {"name": "ada", "plain_text_passwd": "correct horse"}]),
        minimal(users={"ada": {"hashed_passwd": "$6$rounds"}}),
        minimal(user={"name": "ada", "passwd": "$6$rounds"}),
        minimal(users=[{"name": "root", "ssh_authorized_keys": ["ssh-ed25519 AAAA"]}]),
        minimal(runcmd=["echo root:horse | chpasswd"]),
        minimal(bootcmd=[["usermod", "-p", "x", "root"]]),
        minimal(runcmd=["sed -i 's/.*/PasswordAuthentication yes/' /etc/ssh/sshd_config"]),
        minimal(write_files=[{"path": "/etc/ssh/sshd_config.d/0.conf", "content": "passwordauthentication YES\n"}]),
        minimal(write_files=[{"path": "/etc/ssh/sshd_config", "content": "PermitRootLogin = yes # for now\n"}]),
        minimal(
            write_files=[
                {
                    "path": "/etc/ssh/sshd_config",
                    "encoding": "gz+b64",
                    "content": base64.b64encode(gzip.compress(b"PermitEmptyPasswords yes\n")).decode(),
                }
            ]
        ),
        minimal(write_files=[{"path": "/etc/ssh/sshd_config", "source": {"uri": "https://example.org/sshd"}}]),
        "#cloud-config\nusers: [default]\n",
        MINIMAL_USER_DATA + "ssh_pwauth: true\n",
        "#!/bin/sh\necho ssh_pwauth: false disable_root: true\n",
        "#include\nhttps://example.org/user-data\n",
        "## template: jinja\n" + MINIMAL_USER_DATA,
        "# ssh_pwauth: false\n# disable_root: true\n#cloud-config\n{}\n",
        "#cloud-config\n- ssh_pwauth\n",
        "#cloud-config\nssh_pwauth: [\n",
        "Content-Type: multipart/mixed; boundary=x\n\n" + MINIMAL_USER_DATA,
    ],
)
def test_user_data_that_lets_others_in_or_cannot_be_judged_is_refused(cloud: str, text: str) -> None:
    assert judge(HARDENED, booted_from(cloud, text))


@CLOUDS
@pytest.mark.parametrize(
    "text",
    [
        minimal(ssh_pwauth="no"),
        minimal(users=["default", {"name": "ada", "lock_passwd": True}]),
        minimal(runcmd=["systemctl restart ssh", ["echo", "passwords are off"]]),
        minimal(write_files=[{"path": "/etc/ssh/sshd_config.d/0.conf", "content": "# PermitRootLogin yes\n"}]),
        minimal(write_files=[{"path": "/srv/notes", "content": "never say PermitRootLogin yes\n"}]),
    ],
)
def test_what_only_resembles_a_weakness_is_accepted(cloud: str, text: str) -> None:
    assert judge(HARDENED, booted_from(cloud, text)) == []


@pytest.mark.parametrize(
    "resource",
    [
        linode(metadatas=None),
        linode(metadatas=[]),
        vultr(userData=None),
        local(userData=""),
        linode(metadatas=[{"userData": MINIMAL_USER_DATA}]),
        vultr(userData=base64.b64encode(MINIMAL_USER_DATA.encode()).decode()),
        linode(stackscriptId=12),
        vultr(scriptId="c3df8e80"),
    ],
    ids=["none", "empty", "none", "empty", "not encoded", "encoded twice", "script", "script"],
)
def test_a_machine_whose_boot_cannot_be_judged_is_refused(resource: Declared) -> None:
    assert judge(HARDENED, resource)


@CLOUDS
@pytest.mark.parametrize(
    "text",
    [
        written(f"token: {TOKEN}\n"),
        written(base64.b64encode(KEY.encode()).decode(), encoding="b64"),
        written(base64.b64encode(gzip.compress(TOKEN.encode())).decode(), encoding="gzip+base64"),
        written("LINODE_TOKEN=" + "0f" * 32 + "\n"),
        written(KEY),
        minimal(runcmd=[["curl", "-H", "Authorization: Bearer abcdef0123456789"]]),
        minimal(runcmd=["git clone https://ada:hunter22@example.org/repo"]),
        minimal(users=[{"name": "ada", "passwd": "$6$abcdefgh$ijklmnopqrstuvwxyz0123456789"}]),
    ],
)
def test_a_credential_in_user_data_is_refused(cloud: str, text: str) -> None:
    assert judge(CREDENTIALS, booted_from(cloud, text))


@CLOUDS
@pytest.mark.parametrize(
    "text",
    [
        minimal(ssh_keys={"ed25519_private": KEY, "ed25519_public": "ssh-ed25519 AAAA"}),
        written("TOKEN_FILE=/run/secrets/token\n"),
        written("api_key: /etc/key/of/somebody\n"),
        written("sha256 = " + "0f" * 32 + "\n"),
        written("AKIA is how they start\n"),
    ],
)
def test_the_first_host_key_and_what_only_resembles_a_credential_are_accepted(cloud: str, text: str) -> None:
    assert judge(CREDENTIALS, booted_from(cloud, text)) == []


@pytest.mark.parametrize(
    "props",
    [
        {"files": {"/srv/app.conf": {"content": f"token = {TOKEN}\n", "mode": "0600"}}},
        {"files": {"/srv/id": {"content": KEY, "mode": "0600"}}},
        {"env": {"HF_TOKEN": "abc"}},
        {"env": {"DATABASE": "postgres://ada:hunter22@db.example.org/x"}},
        {"files": UNKNOWN},
        {"env": {"LANG": UNKNOWN}},
    ],
)
def test_a_credential_in_what_a_fleet_declares_is_refused(props: dict[str, object]) -> None:
    assert judge(CREDENTIALS, enrolment(**props))


@pytest.mark.parametrize(
    "env", [{"HF_TOKEN_FILE": "abc"}, {"TOKENIZERS_PARALLELISM": "false"}, {"API_KEY": "/run/key"}, {"TOKEN": ""}]
)
def test_what_is_called_almost_like_a_credential_is_accepted(env: dict[str, str]) -> None:
    assert judge(CREDENTIALS, enrolment(env=env)) == []


@CLOUDS
@pytest.mark.parametrize(
    "content",
    [
        "GAXX_AGENT_REQUIRE_MTLS=false\n",
        "Environment='GAXX_AGENT_REQUIRE_MTLS=0'\n",
        'GAXX_AGENT_REQUIRE_MTLS: "no"\n',
        "export GAXX_AGENT_REQUIRE_MTLS=\n",
    ],
)
def test_switching_mutual_tls_off_is_refused(cloud: str, content: str) -> None:
    assert judge(MTLS, booted_from(cloud, written(content)))
    assert judge(MTLS, booted_from(cloud, written(base64.b64encode(content.encode()).decode(), encoding="b64")))
    assert judge(MTLS, enrolment(files={"/srv/agent.env": {"content": content, "mode": "0644"}}))


def test_requiring_mutual_tls_is_accepted() -> None:
    assert judge(MTLS, booted_from("linode", written("GAXX_AGENT_REQUIRE_MTLS=true\n"))) == []
    assert judge(MTLS, enrolment(env={"GAXX_AGENT_REQUIRE_MTLS": "true"})) == []


def test_the_environment_switches_it_off_too() -> None:
    assert judge(MTLS, enrolment(env={"GAXX_AGENT_REQUIRE_MTLS": "false"}))


def test_a_node_without_principals_asks_for_nobodys_certificate() -> None:
    assert judge(MTLS, enrolment(principals=[]))
    assert judge(MTLS, enrolment(principals=UNKNOWN)) == [], "tokens are made in the update; people are settings"


@CLOUDS
def test_user_data_that_is_not_known_yet_is_told_as_judged_later(cloud: str) -> None:
    machine = {
        "linode": linode(metadatas=[{"userData": UNKNOWN}]),
        "vultr": vultr(userData=UNKNOWN),
        "local": local(userData=UNKNOWN),
    }[cloud]

    for rule in (HARDENED, CREDENTIALS, MTLS):
        assert judge(rule, machine) == []
    (text,) = judge_stack("user-data-judged-later", [machine])
    assert machine.name in text


def test_a_boot_script_is_refused_although_the_user_data_is_not_known_yet() -> None:
    assert judge(HARDENED, changed(linode(metadatas=[{"userData": UNKNOWN}]), stackscriptId=12))


def test_nothing_is_told_as_judged_later_when_all_is_known() -> None:
    assert judge_stack("user-data-judged-later", [linode(), vultr(), local()]) == []


def test_those_that_are_judged_later_are_told_in_the_order_of_their_numbers() -> None:
    machines = [
        dataclasses.replace(local(userData=UNKNOWN), name=name) for name in ("demo-10", "demo-2", "alpha-3", "demo-1")
    ]
    (text,) = judge_stack("user-data-judged-later", machines)

    assert "alpha-3, demo-1, demo-2, demo-10" in text


def test_three_hundred_machines_are_told_in_one_line() -> None:
    machines = [changed(local(), userData=UNKNOWN) for _ in range(300)]
    (text,) = judge_stack("user-data-judged-later", machines)

    assert "294 more" in text
    assert "\n" not in text
