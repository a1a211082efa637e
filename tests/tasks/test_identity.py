"""Operator keys, defaults of the environment, and what must be private."""

import os
import pathlib
import shlex
import stat
import subprocess
import sys
import threading

import pytest
from cryptography import x509

from agent.client import Identity
from components import places
from components.authority import csr_key_sha256
from components.errors import GaxxError, Refused
from components.inventory import Inventory
from tasks import env, identity, private

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_choice_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_HOME")


def mode(path: pathlib.Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_made_once_and_only_their_owner_can_read_them() -> None:
    before = os.umask(0)
    try:
        operator, made = identity.ensure("ada")
    finally:
        os.umask(before)
    assert made
    assert {path.name: mode(path) for path in operator.folder.iterdir()} == dict.fromkeys(
        ("ssh_ed25519", "ssh_ed25519.pub", "tls.key", "tls.csr", "operator.json"), 0o600
    )
    assert mode(operator.folder) == 0o700
    assert identity.ensure("bob") == (operator, False)


def test_the_record_names_the_key_of_the_request() -> None:
    operator, _ = identity.ensure("ada")
    assert operator.key_sha256 == csr_key_sha256(operator.csr)
    request = x509.load_pem_x509_csr(operator.csr.encode())
    assert request.subject.rfc4514_string() == "CN=ada"
    derived = subprocess.run(
        ["ssh-keygen", "-y", "-f", operator.ssh_key], capture_output=True, text=True, check=True
    ).stdout
    assert derived.split()[:2] == operator.ssh_public_key.split()[:2]


def test_of_many_that_start_at_once_all_use_the_same_keys() -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(identity.ensure()[0].key_sha256)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [path.name for path in places.operator_dir().parent.iterdir()] == ["operator"]


def test_without_keys_the_way_to_them_is_said() -> None:
    with pytest.raises(GaxxError, match="gaxx env"):
        identity.load()


def test_a_key_that_others_can_read_is_not_used() -> None:
    operator, _ = identity.ensure()
    operator.tls_key.chmod(0o640)
    with pytest.raises(Refused, match="mode 0640"):
        private.read(operator.tls_key)


def test_a_stranger_to_the_stack_is_refused_with_the_names_of_its_operators() -> None:
    operator, _ = identity.ensure("eve")
    empty = Inventory("gaxx", "demo", "", "", (), ())
    with pytest.raises(Refused, match="not among the stack's operators: eve"):
        identity.principal(empty, operator)


def test_replacing_a_private_file_leaves_it_whole_and_private(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "deep" / "file"
    private.replace(path, "one")
    private.replace(path, "two")
    assert private.read(path) == "two"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


def gaxx_env(folder: pathlib.Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tasks.cli.main", "env"], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip


def exported(text: str) -> dict[str, str]:
    words = [shlex.split(line) for line in text.splitlines()]
    assert all(word[0] == "export" and len(word) == 2 for word in words)
    return dict(word[1].split("=", 1) for word in words)


def test_env_gives_a_backend_and_a_passphrase_and_makes_them(project: pathlib.Path) -> None:
    answer = gaxx_env(project)
    variables = exported(answer.stdout)
    base = places.private_dir()
    assert variables == {
        "PULUMI_BACKEND_URL": f"file://{base}/backend?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE_FILE": f"{base}/passphrase",
        "PULUMI_HOME": f"{base}/pulumi-home",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }
    assert "made operator keys" in answer.stderr
    assert mode(base) == mode(base / "backend") == 0o700
    assert mode(base / "passphrase") == 0o600
    passphrase = (base / "passphrase").read_text()
    again = gaxx_env(project)
    assert (again.stdout, again.stderr) == (answer.stdout, "")
    assert (base / "passphrase").read_text() == passphrase


def test_env_can_be_evaluated_twice(project: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = gaxx_env(project).stdout
    for name, value in exported(first).items():
        monkeypatch.setenv(name, value)
    assert set(exported(gaxx_env(project).stdout)) >= set(exported(first))


def test_env_names_the_policy_pack_where_there_is_one(project: pathlib.Path) -> None:
    (project / "policy").mkdir()
    assert "PULUMI_OPTION_POLICY_PACK" not in env.chosen()
    (project / "policy" / "PulumiPolicy.yaml").write_text("runtime: python\n")
    assert env.chosen()["PULUMI_OPTION_POLICY_PACK"] == str(project / "policy")


def test_a_backend_of_the_users_own_is_left_alone(project: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://states")
    assert not {"PULUMI_BACKEND_URL", "PULUMI_HOME", "PULUMI_CONFIG_PASSPHRASE_FILE"} & set(env.chosen())
    monkeypatch.delenv("PULUMI_BACKEND_URL")
    (project / "Pulumi.yaml").write_text("name: gaxx\nbackend:\n  url: s3://states\n")
    assert "PULUMI_BACKEND_URL" not in env.chosen()


def test_a_login_is_a_choice(project: pathlib.Path, own_home: pathlib.Path) -> None:
    assert project.exists()
    (own_home / ".pulumi").mkdir()
    (own_home / ".pulumi" / "credentials.json").write_text('{"current": "https://api.pulumi.com"}')
    assert "PULUMI_BACKEND_URL" not in env.chosen()
    assert "PULUMI_HOME" not in env.chosen()


def test_a_passphrase_of_the_users_own_is_left_alone(project: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert project.exists()
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "")
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in env.chosen()


def test_an_identity_that_is_shown_shows_neither_key_nor_token() -> None:
    shown = repr(Identity(certificate_pem="public", key_pem="private", token="secret"))
    assert "public" in shown
    assert not [word for word in ("private", "secret") if word in shown]
