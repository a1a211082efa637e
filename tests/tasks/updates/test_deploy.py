"""`gaxx up`, `preview`, `down` with the real engine: exit codes, and what a killed engine leaves locked."""

import contextlib
import json
import os
import pathlib
import pty
import socket
import subprocess
import sys
import termios
import textwrap
import uuid

import pytest

from components import places
from tasks import env, inventory
from tasks.inventory import Stack
from tasks.updates import deploy, rotate
from tests.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(180)]

ROOT = pathlib.Path(__file__).resolve().parents[3]
POLICY = """
    from pulumi_policy import EnforcementLevel, PolicyPack, StackValidationPolicy

    def never(args, report):
        report("nothing may be made")

    PolicyPack("probe", policies=[StackValidationPolicy(
        name="never", description="nothing", validate=never, enforcement_level=EnforcementLevel.MANDATORY)])
"""


@pytest.fixture
def stack(project: pathlib.Path) -> pathlib.Path:
    """A project with a stack `dev` on the default backend, and a program that makes nothing but an output."""
    definition = {
        "name": "gaxx",
        "runtime": {"name": "python", "options": {"virtualenv": os.path.relpath(sys.prefix, project)}},
        "stackConfigDir": "stacks",
    }
    (project / "Pulumi.yaml").write_text(json.dumps(definition))
    (project / "__main__.py").write_text("import pulumi\npulumi.export('inventory', {'version': 0})\n")
    os.environ.pop("PULUMI_HOME", None)
    assert gaxx(project, "env").returncode == 0
    made = gaxx(project, "init", "--stack", "dev", "--cloud", "local")
    assert made.returncode == 0, made.stderr
    return project


def gaxx(folder: pathlib.Path, *argv: str, **more: str) -> "subprocess.CompletedProcess[str]":
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    return subprocess.run(
        [sys.executable, "-m", "tasks.cli.main", *argv], cwd=folder, env=environ, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def asked(folder: pathlib.Path, keys: bytes, *argv: str) -> tuple[int, str]:
    """Run gaxx on a terminal, press keys when Pulumi asks, and return the exit code and the last line."""
    ours, theirs = pty.openpty()
    line = [sys.executable, "-m", "tasks.cli.main", *argv]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    said, pressed = b"", 0
    with subprocess.Popen(line, cwd=folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        # The terminal's other end is closed when nobody has it any more.
        with contextlib.suppress(OSError):
            while data := os.read(ours, 65536):
                said += data
                if not pressed and b"Do you want to perform" in said:
                    # It asks first, and reads single keys a moment later.
                    until(lambda: not termios.tcgetattr(ours)[3] & termios.ICANON)
                    pressed = os.write(ours, keys)
    os.close(ours)
    return process.returncode, said.decode().splitlines()[-1]


def lock(pid: int, host: str) -> pathlib.Path:
    """Leave the lock that an engine leaves which is killed."""
    backend = pathlib.Path(os.environ["XDG_STATE_HOME"]) / "gaxx" / "backend"
    path = backend / ".pulumi" / "locks" / "organization" / "gaxx" / "dev" / f"{uuid.uuid4()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"pid": pid, "username": "ada", "hostname": host, "timestamp": "2026-01-01T00:00:00Z"}
    path.write_text(json.dumps(about))
    return path


def dead_pid() -> int:
    done = subprocess.Popen(["true"])
    done.wait()
    return done.pid


def test_up_and_down_do_what_pulumi_does(stack: pathlib.Path) -> None:
    up = gaxx(stack, "up", "--stack", "dev", "--yes", "--skip-preview")
    assert up.returncode == 0, up.stderr
    assert "created" in up.stdout
    assert gaxx(stack, "preview", "--stack", "dev", "--expect-no-changes").returncode == 0
    assert gaxx(stack, "down", "--stack", "dev", "--yes").returncode == 0


@pytest.mark.parametrize("line", [["up"], ["down"], ["rotate"], ["extend", "1h"], ["up", "--refresh=false"]])
def test_where_nobody_can_be_asked_nothing_is_changed(stack: pathlib.Path, line: list[str]) -> None:
    file = stack / "stacks" / "Pulumi.dev.yaml"
    file.write_text(file.read_text() + "  gaxx:ttl: 4h\n")
    before = file.read_bytes()
    answer = gaxx(stack, *line, "--stack", "dev")
    assert (answer.returncode, answer.stdout, file.read_bytes()) == (1, "", before)
    assert answer.stderr == (
        "gaxx: nobody can be asked whether to go on: this is no terminal; "
        "nothing was changed; `--yes` asks nothing, `gaxx preview` shows what would change\n"
    )
    # Pulumi's own word for the same.
    assert gaxx(stack, "preview", "--stack", "dev", PULUMI_SKIP_CONFIRMATIONS="true").returncode == 0


@pytest.mark.parametrize(("keys", "verb"), [(b"\r", "up"), (b"\x03", "up"), (b"\r", "down")])
def test_who_declines_is_told_that_nothing_was_changed(stack: pathlib.Path, keys: bytes, verb: str) -> None:
    assert gaxx(stack, "up", "--stack", "dev", "--yes", "--skip-preview").returncode == 0
    (stack / "__main__.py").write_text("import pulumi\npulumi.export('inventory', {'version': 1})\n")
    pulumis = {"up": "up", "down": "destroy"}[verb]
    assert asked(stack, keys, verb, "--stack", "dev") == (
        130, f"gaxx: pulumi {pulumis} was declined; nothing was changed",
    )  # fmt: skip


@pytest.mark.parametrize("line", [["rotate", "--tokens"], ["rotate", "--authority"]])
def test_who_declines_a_rotation_keeps_the_stack_file(stack: pathlib.Path, line: list[str]) -> None:
    file = stack / "stacks" / "Pulumi.dev.yaml"
    before = file.read_bytes()
    code, last = asked(stack, b"\r", *line, "--stack", "dev")
    assert (code, last) == (130, "gaxx: pulumi up was declined; nothing was changed")
    assert file.read_bytes() == before


def test_who_declines_a_new_embedded_authority_keeps_the_old_one(
    stack: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stack)
    assert gaxx(stack, "init", "--stack", "free", "--cloud", "local").returncode == 0
    (stack / "stacks" / "Pulumi.free.yaml").write_text("config: {}\n")
    for name, value in env.chosen().items():
        monkeypatch.setenv(name, value)
    found = inventory.stack_named("free")
    file = places.authority_file(found.backend_id, found.project, found.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("the old one")

    def declined() -> None:
        raise deploy.Declined("no")  # noqa: EM101 - what it says is of no matter

    with pytest.raises(deploy.Declined):
        rotate.rotate(found, rotate.Wishes(tokens=False, keys=False, authority=True), declined, lambda _text: None)
    assert (file.read_text(), places.previous_authority_file(file).exists()) == ("the old one", False)


def test_what_a_failed_update_leaves_in_the_stack_file_is_said(stack: pathlib.Path) -> None:
    file = stack / "stacks" / "Pulumi.dev.yaml"
    (stack / "__main__.py").write_text("1 / 0\n")
    answer = gaxx(stack, "rotate", "--tokens", "--stack", "dev", "--yes")
    assert answer.returncode == 1
    assert f"gaxx: {file} keeps what was raised; `gaxx up` applies it\n" in answer.stderr
    assert "gaxx:tokenGeneration: 2" in file.read_text().replace('"', "")


def test_an_inventory_of_another_version_is_told_apart_from_none(stack: pathlib.Path) -> None:
    before = gaxx(stack, "ls", "--stack", "dev")
    assert (before.returncode, before.stdout) == (1, "")
    assert before.stderr.startswith("gaxx: stack dev has no inventory: it is not up; ")
    assert gaxx(stack, "up", "--stack", "dev", "--yes", "--skip-preview").returncode == 0
    after = gaxx(stack, "ls", "--stack", "dev")
    assert after.returncode == 1
    assert "the inventory has version 0" in after.stderr


def test_a_stack_that_is_not_there_is_one_line(stack: pathlib.Path) -> None:
    answer = gaxx(stack, "ls", "--stack", "nope")
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "nope" in answer.stderr


def test_a_failing_program_is_exit_1(stack: pathlib.Path) -> None:
    (stack / "__main__.py").write_text("1 / 0\n")
    answer = gaxx(stack, "preview", "--stack", "dev")
    assert answer.returncode == 1
    assert "ZeroDivisionError" in answer.stdout + answer.stderr
    assert answer.stderr.endswith("gaxx: pulumi preview failed with exit code 255\n") or "failed" in answer.stderr


def test_a_policy_that_refuses_is_exit_2_and_named(stack: pathlib.Path) -> None:
    (stack / "policy").mkdir()
    (stack / "policy" / "PulumiPolicy.yaml").write_text(
        json.dumps(
            {"runtime": {"name": "python", "options": {"virtualenv": os.path.relpath(sys.prefix, stack / "policy")}}}
        )
    )
    (stack / "policy" / "__main__.py").write_text(textwrap.dedent(POLICY))
    answer = gaxx(stack, "preview", "--stack", "dev")
    assert answer.returncode == 2, answer.stdout + answer.stderr
    assert answer.stderr.endswith("gaxx: pulumi preview: refused by policy: never\n")


def test_the_lock_of_a_dead_engine_is_cancelled(stack: pathlib.Path) -> None:
    left = lock(dead_pid(), socket.gethostname())
    answer = gaxx(stack, "up", "--stack", "dev", "--yes", "--skip-preview")
    assert answer.returncode == 0, answer.stderr
    assert not left.exists()


def test_the_lock_of_a_dead_engine_is_only_named_when_nobody_agreed(stack: pathlib.Path) -> None:
    pid = dead_pid()
    left = lock(pid, socket.gethostname())
    answer = gaxx(stack, "up", "--stack", "dev", "--skip-preview")
    assert answer.returncode == 1
    assert f"locked by process {pid} of ada" in answer.stderr
    assert left.exists()


def test_the_lock_of_a_living_engine_is_respected(stack: pathlib.Path) -> None:
    left = lock(os.getpid(), socket.gethostname())
    answer = gaxx(stack, "up", "--stack", "dev", "--yes", "--skip-preview")
    assert answer.returncode == 1
    assert f"gaxx: stack dev is locked by process {os.getpid()} of ada on {socket.gethostname()}" in answer.stderr
    assert "which is running; wait" in answer.stderr
    assert left.exists()


def test_the_lock_of_another_machine_is_never_cancelled_unasked(stack: pathlib.Path) -> None:
    left = lock(1, "elsewhere")
    answer = gaxx(stack, "up", "--stack", "dev", "--yes", "--skip-preview")
    assert answer.returncode == 1
    assert "which cannot be seen from here" in answer.stderr
    assert left.exists()


def test_the_authority_is_in_the_stack_file_only_encrypted(stack: pathlib.Path) -> None:
    text = (stack / "stacks" / "Pulumi.dev.yaml").read_text()
    assert "secure: v1:" in text
    assert "PRIVATE KEY" not in text
    assert gaxx(stack, "check").returncode == 0


def test_init_twice_changes_nothing(stack: pathlib.Path) -> None:
    before = (stack / "stacks" / "Pulumi.dev.yaml").read_bytes()
    again = gaxx(
        stack, "init", "--stack", "dev", "--cloud", "linode", "--region", "nl-ams", "--ssh-cidr", "192.0.2.1/32"
    )
    assert again.returncode == 0, again.stderr
    assert "Pulumi.dev.yaml declares fleets already: they stay as they are\n" in again.stderr
    assert (stack / "stacks" / "Pulumi.dev.yaml").read_bytes() == before


def test_init_makes_nothing_that_it_would_have_to_refuse(stack: pathlib.Path) -> None:
    line = ["init", "--stack", "west", "--cloud", "linode", "--region", "nl-ams", "--ttl", "ever", "--ssh-cidr"]
    answer = gaxx(stack, *line, "0.0.0.0/0")
    assert answer.returncode == 1
    assert answer.stderr.startswith("gaxx: that cannot be declared; nothing was made:\n")
    assert [words.split(":")[1] for words in answer.stderr.splitlines()[1:]] == ["ttl", "fleets[0].sshCidrs[0]"]
    assert not (stack / "stacks" / "Pulumi.west.yaml").exists()
    assert gaxx(stack, "ls", "--stack", "west").stderr.endswith("`gaxx init --stack west` makes one\n")
    line[line.index("ever")] = "4h"
    assert gaxx(stack, *line, "192.0.2.1/32").returncode == 0


def test_init_keeps_a_stack_file_that_somebody_wrote(stack: pathlib.Path) -> None:
    path = stack / "stacks" / "Pulumi.mine.yaml"
    path.write_text("# mine\nconfig:\n  gaxx:fleets: # these\n    - name: a\n      cloud: local\n")
    assert gaxx(stack, "init", "--stack", "mine", "--cloud", "local").returncode == 0
    text = path.read_text()
    assert text.startswith("# mine\nconfig:\n  gaxx:fleets: # these\n")
    assert "gaxx:authorityKey:" in text


@pytest.mark.parametrize(("nodes", "expected"), [(0, 16), (3, 16), (30, 90), (500, 256)])
def test_parallelism_grows_with_the_fleet(nodes: int, expected: int) -> None:
    assert deploy.parallelism(nodes) == expected


def test_nodes_are_counted_from_the_stack_file(project: pathlib.Path) -> None:
    (project / "stacks" / "Pulumi.x.yaml").write_text("config:\n  gaxx:fleets:\n    - nodes: 8\n    - name: one\n")
    assert deploy.node_count(Stack(project, "gaxx", "x", "")) == 9
    assert deploy.node_count(Stack(project, "gaxx", "none", "")) == 0


@pytest.mark.parametrize("data", [b"config: \xff", b"config: [", b"- a", b"config: x", b"config:\n  gaxx:fleets: 3\n"])
def test_no_nodes_are_counted_in_what_is_no_stack_file(project: pathlib.Path, data: bytes) -> None:
    (project / "stacks" / "Pulumi.x.yaml").write_bytes(data)
    assert deploy.node_count(Stack(project, "gaxx", "x", "")) == 0
