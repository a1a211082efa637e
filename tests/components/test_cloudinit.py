"""The user-data, judged by the programs that will read it: cloud-init, sshd, sudo, nft and ssh-keygen."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import typing

import jsonschema
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from components.authority import Authority
from components.cloudinit import HELPER, Bootstrap, render
from components.errors import GaxxError
from tests import sshd_promises

ROOT = pathlib.Path(__file__).parents[2]

AUTHORITY = Authority.create("gaxx demo")
SIZE_LIMIT_BYTES = 12 * 1024


def make_pair() -> tuple[str, str]:
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), public.decode()


def make_bootstrap() -> Bootstrap:
    host_private, host_public = make_pair()
    _, user_public = make_pair()
    return Bootstrap(host_private, host_public, user_public, AUTHORITY.ssh_public_key)


BOOTSTRAP = make_bootstrap()
TEXT = render(BOOTSTRAP)


def files() -> dict[str, dict[str, str]]:
    return {entry["path"]: entry for entry in yaml.safe_load(TEXT)["write_files"]}


def run(*argv: str) -> str:
    """Run a tool that a set-up machine has; its absence is a failure."""
    tool = shutil.which(argv[0], path="/usr/sbin:/sbin:/usr/bin:/bin")
    assert tool, f"{argv[0]} is missing"
    done = subprocess.run([tool, *argv[1:]], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_same_keys_give_the_same_bytes_and_other_keys_others() -> None:
    assert render(BOOTSTRAP) == TEXT
    assert render(make_bootstrap()) != TEXT


def test_it_is_small() -> None:
    assert len(TEXT.encode()) < SIZE_LIMIT_BYTES


def test_cloud_inits_own_schema_accepts_it_and_would_notice_a_wrong_one() -> None:
    # `make setup` puts it there, out of Debian's package.
    schema = json.loads((ROOT / ".venv/share/gaxx/cloud-init-schema.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)

    assert [error.message for error in validator.iter_errors(yaml.safe_load(TEXT))] == []
    assert list(validator.iter_errors({**yaml.safe_load(TEXT), "disable_root": "maybe"}))


def test_the_helper_arrives_as_it_stands_in_the_source() -> None:
    source = pathlib.Path(__file__).parents[2] / "components/cloudinit/files/gaxx_enrol.py"
    assert files()[HELPER]["content"] == source.read_text()
    assert files()[HELPER]["permissions"] == "0755"


def test_the_bootstrap_user_has_one_key_no_password_and_sudo_for_the_helper_alone(tmp_path: pathlib.Path) -> None:
    data = yaml.safe_load(TEXT)
    assert data["users"] == [
        {"name": "gaxx-enrol", "lock_passwd": True, "ssh_authorized_keys": [BOOTSTRAP.user_public_key]}
    ]
    sudoers = files()["/etc/sudoers.d/gaxx-enrol"]
    assert sudoers["permissions"] == "0440"
    rights = [line for line in sudoers["content"].splitlines() if "ALL" in line]
    assert rights == [f"gaxx-enrol ALL=(root) NOPASSWD: {HELPER}"]
    path = tmp_path / "sudoers"
    path.write_text(sudoers["content"])
    path.chmod(0o440)
    run("visudo", "-c", "-f", str(path))


def test_it_opens_no_door_but_the_key() -> None:
    data = yaml.safe_load(TEXT)
    assert data["disable_root"] is True
    assert data["ssh_pwauth"] is False
    assert "ssh_genkeytypes" not in data
    assert not re.search(r"\bpasswd:|password:|chpasswd|hashed_passwd", TEXT)


def test_the_host_key_pair_belongs_together() -> None:
    keys = yaml.safe_load(TEXT)["ssh_keys"]
    private = serialization.load_ssh_private_key(keys["ed25519_private"].encode(), None)
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    assert public.decode() == keys["ed25519_public"]


def test_nothing_in_it_is_secret_but_the_host_key() -> None:
    assert TEXT.count("PRIVATE KEY-----") == 2
    assert AUTHORITY.pem.splitlines()[1] not in TEXT
    assert "PRIVATE" not in repr(BOOTSTRAP)


@pytest.fixture
def sshd_settings(tmp_path: pathlib.Path) -> typing.Callable[..., dict[str, str]]:
    """What sshd makes of the drop-ins for a given user, in front of a careless main configuration."""
    included = tmp_path / "sshd_config.d"
    included.mkdir()
    for path, entry in files().items():
        if path.startswith("/etc/ssh/sshd_config.d/"):
            (included / pathlib.Path(path).name).write_text(entry["content"])
    host_key = tmp_path / "host_key"
    host_key.write_text(BOOTSTRAP.host_private_key)
    host_key.chmod(0o600)
    careless = "PermitRootLogin yes\nPasswordAuthentication yes\nX11Forwarding yes\nAllowTcpForwarding yes\n"
    config = tmp_path / "sshd_config"
    config.write_text(f"Include {included}/*.conf\nHostKey {host_key}\n{careless}")

    def effective(user: str) -> dict[str, str]:
        shown = run("sshd", "-T", "-f", str(config), "-C", f"user={user},host=localhost,addr=127.0.0.1")
        return dict(line.split(" ", 1) for line in shown.splitlines() if " " in line)

    if os.geteuid() == 0:
        # What the service makes before it starts sshd.
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
    return effective


@pytest.mark.parametrize("user", ["gaxx-enrol", "root", "ada"])
def test_sshd_takes_keys_only_and_nobody_as_root(
    sshd_settings: typing.Callable[..., dict[str, str]], user: str
) -> None:
    sshd_promises.assert_kept(sshd_settings(user))


def test_sshd_forwards_to_the_agent_and_its_metrics_and_nowhere_else(
    sshd_settings: typing.Callable[..., dict[str, str]],
) -> None:
    assert sshd_settings("ada")["permitopen"] == "127.0.0.1:8088 127.0.0.1:9091"
    assert sshd_settings("ada")["allowtcpforwarding"] == "local"


def test_the_bootstrap_user_forwards_nothing_and_gets_no_terminal(
    sshd_settings: typing.Callable[..., dict[str, str]],
) -> None:
    settings = sshd_settings("gaxx-enrol")
    for name in ("allowtcpforwarding", "allowstreamlocalforwarding", "allowagentforwarding", "permittty"):
        assert settings[name] == "no"


def test_the_first_firewall_admits_ssh_alone(tmp_path: pathlib.Path) -> None:
    ruleset = files()["/etc/nftables.conf"]["content"]
    assert re.findall(r"tcp dport (\d+) accept", ruleset) == ["22"]
    path = tmp_path / "nftables.conf"
    path.write_text(ruleset)
    run("nft", "-c", "-f", str(path))


@pytest.mark.parametrize("field", ["host_private_key", "host_public_key", "user_public_key", "authority_ssh"])
@pytest.mark.parametrize("value", ["", "ssh-ed25519", "ssh-rsa AAAA", "ssh-ed25519 AAAA\nruncmd: [reboot]"])
def test_what_is_not_a_key_is_refused_and_never_written(field: str, value: str) -> None:
    with pytest.raises(GaxxError):
        render(dataclasses.replace(BOOTSTRAP, **{field: value}))
