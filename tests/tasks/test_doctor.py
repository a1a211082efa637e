"""`gaxx doctor`: each line says what is so and what to do; a failure is exit 1."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from components import places

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def healthy(project: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A project of a user who has run `gaxx env`."""
    monkeypatch.delenv("PULUMI_HOME")
    gaxx(project, "env")
    return project


def gaxx(folder: pathlib.Path, *argv: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tasks.cli.main", *argv], cwd=folder, stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def doctor(folder: pathlib.Path, **variables: str) -> tuple[int, dict[str, dict[str, str]]]:
    done = gaxx(folder, "doctor", "--json", **variables)
    assert "Traceback" not in done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, {line["name"]: line for line in lines}


def test_a_machine_in_order_is_exit_0_and_names_its_engine(healthy: pathlib.Path) -> None:
    code, checks = doctor(healthy)
    assert code == 0, checks
    assert {check["state"] for check in checks.values()} <= {"ok", "warn"}
    assert checks["engine"]["text"].startswith("v3.")


@pytest.mark.parametrize(
    ("path", "mode", "name"),
    [
        ("backend", 0o755, "backend"),
        ("passphrase", 0o644, "passphrase"),
        ("operator/tls.key", 0o644, "operator keys"),
        ("operator/ssh_ed25519", 0o640, "operator keys"),
        ("operator", 0o755, "operator keys"),
        ("secrets.env", 0o644, "secrets.env"),
    ],
)
def test_what_others_can_read_fails_with_the_command_that_mends_it(
    healthy: pathlib.Path, path: str, mode: int, name: str
) -> None:
    in_config = path.startswith(("operator", "secrets"))
    target = (places.config_dir() if in_config else places.private_dir()) / path
    if not target.exists():
        target.touch()
    target.chmod(mode)
    code, checks = doctor(healthy)
    assert code == 1
    assert checks[name]["state"] == "fail"
    assert checks[name]["fix"] == f"chmod {'700' if target.is_dir() else '600'} {target}"


def test_programs_that_are_missing_are_named_with_their_package(healthy: pathlib.Path, tmp_path: pathlib.Path) -> None:
    code, checks = doctor(healthy, PATH=str(tmp_path))
    assert code == 1
    assert checks["ssh"]["fix"] == "apt-get install openssh-client"


def test_a_backend_inside_the_clone_is_a_warning(healthy: pathlib.Path) -> None:
    folder = healthy / "state"
    folder.mkdir(mode=0o700)
    code, checks = doctor(healthy, PULUMI_BACKEND_URL=f"file://{folder}", PULUMI_CONFIG_PASSPHRASE="x")
    assert code == 0
    assert checks["backend"]["state"] == "warn"


def test_before_anything_was_made_the_first_step_is_said(project: pathlib.Path) -> None:
    code, checks = doctor(project)
    assert code == 1
    assert "gaxx env" in checks["operator keys"]["fix"]


def test_people_get_one_line_a_check(healthy: pathlib.Path) -> None:
    done = gaxx(healthy, "doctor")
    assert all(line.split()[0] in {"ok", "warn", "fail"} for line in done.stdout.splitlines())
    assert "\x1b" not in done.stdout
