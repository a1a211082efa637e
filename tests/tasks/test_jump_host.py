"""Nodes that nothing but a jump host leads to: every verb gets there, and nobody else's jump host is believed."""

import dataclasses
import json
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from components.inventory import Node
from tests.stack import remains
from tests.tasks.conftest import enter, person
from tests.tasks.fleet import ROOT, SSH_PORT, Fleet, banner, fleet
from tests.tasks.jump import Jump, jump_host
from tests.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]

OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

LOG_IN = """
import json, pathlib, sys
from components.errors import GaxxError
from components.provider.ssh_session import Endpoint, Login, connect
asked = json.loads(sys.argv[1])
try:
    login = Login(asked["user"], pathlib.Path(asked["key"]).read_text())
    with connect(Endpoint(**asked["endpoint"]), login) as session:
        print(json.dumps(session.call(asked["command"])), flush=True)
        if asked["stays"]:
            sys.stdin.read()
except GaxxError as error:
    print(type(error).__name__, error.exit_code, error)
"""
"""The provider's way into a node, by its user."""


@dataclasses.dataclass
class Behind:
    """A stack of two nodes, the jump host before it, and what they were at first."""

    fleet: Fleet
    jump: Jump

    def change(self, **fields: Any) -> None:
        """Change the nodes in the inventory."""
        nodes = tuple(node._replace(**fields) for node in self.fleet.known.nodes)
        self.fleet.rewrite(self.fleet.known._replace(nodes=nodes))

    def endpoint(self, node: Node) -> dict[str, Any]:
        """As the provider has it."""
        return {"node": node.name, "host": node.ssh_host, "port": node.ssh_port, "host_keys": node.ssh_host_keys,
                "jump_host": node.jump_host}  # fmt: skip

    def log_in(self, command: str = "echo {}", *, stays: bool = False) -> list[str]:
        """The line that has the provider log in to the first node."""
        node = self.fleet.known.nodes[0]
        asked = {"endpoint": self.endpoint(node), "user": node.ssh_user, "command": command, "stays": stays,
                 "key": f"{self.fleet.environ['XDG_CONFIG_HOME']}/gaxx/operator/ssh_ed25519"}  # fmt: skip
        return [*self.jump.user_space, sys.executable, "-c", LOG_IN, json.dumps(asked)]

    def provider(self, command: str = "echo {}") -> str:
        """What it says."""
        return self.run(*self.log_in(command)).stdout

    def run(self, *line: str) -> "subprocess.CompletedProcess[str]":
        """Run a program as the user."""
        return subprocess.run(
            line, env=self.fleet.environ, input="", capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """Both, started once."""
    base = tmp_path_factory.mktemp("behind")
    with (
        person(base) as patch,
        jump_host(base, base / "home", base / "project") as jump,
        fleet(base, 2, sshd=True, inside=jump.inside) as made,
    ):
        patch.undo()
        made.seen_from = jump.user_space
        made.environ["PYTHONPATH"] = str(ROOT)
        yield Behind(made, jump)


@pytest.fixture
def behind(standing: Behind, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behind]:
    """The stack as its user sees it; no connection of an earlier test is kept."""
    enter(standing.fleet, monkeypatch)
    before = standing.fleet.known
    standing.change(reach="ssh", jump_host=standing.jump.text)
    yield standing
    for control in pathlib.Path(standing.fleet.environ["XDG_RUNTIME_DIR"], "gaxx").glob("*.c"):
        subprocess.run(
            ["ssh", "-F", "none", "-o", f"ControlPath={control}", "-O", "exit", "any"], check=True, capture_output=True
        )
    standing.fleet.rewrite(before)
    standing.jump.know()
    standing.jump.dropping = 0


def test_nothing_else_leads_to_the_nodes(behind: Behind) -> None:
    behind.change(jump_host="")
    answer = behind.fleet.gaxx("run", "--", "true")
    assert (answer.returncode, answer.stdout) == (5, b"--- demo-[1-2] (2): unreachable: connection refused\n")


def test_agents_answer_through_it_and_the_connections_are_kept(behind: Behind) -> None:
    first = behind.fleet.gaxx("run", "--", "echo", "there")
    assert (first.returncode, first.stdout) == (0, b"--- demo-[1-2] (2): ok\nthere\n"), first.stderr
    served = behind.jump.served
    assert behind.fleet.gaxx("run", "--", "true").returncode == 0
    assert behind.jump.served == served


def test_commands_over_ssh_go_through_it(behind: Behind) -> None:
    answer = behind.fleet.gaxx("run", "--via", "ssh", "--", "wc", "-c", stdin=b"x" * 200_000)
    assert (answer.returncode, answer.stdout) == (0, b"--- demo-[1-2] (2): ok\n200000\n"), answer.stderr


def test_files_over_ssh_go_through_it_there_and_back(behind: Behind, tmp_path: pathlib.Path) -> None:
    sent = tmp_path / "sent.bin"
    sent.write_bytes(bytes(range(256)) * 4096)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").write_text("a")

    back = tmp_path / "back"
    for verb, *argv in (("put", str(sent)), ("get", "sent.bin", str(back)), ("sync", str(tmp_path / "tree"), "x")):
        answer = behind.fleet.gaxx(verb, "--via", "ssh", *argv)
        assert answer.returncode == 0, answer.stderr

    assert {path.read_bytes() for path in back.rglob("sent.bin*")} == {sent.read_bytes()}
    assert behind.fleet.gaxx("run", "--", "cat", "x/a").stdout == b"--- demo-[1-2] (2): ok\na\n"


def test_a_shell_goes_through_it_with_no_agent_of_the_user_on_the_node(behind: Behind) -> None:
    answer = behind.fleet.gaxx("ssh", "demo-2", "--", "sh", "-c", 'echo "${SSH_AUTH_SOCK:-none}"; exit 9')
    assert (answer.returncode, answer.stdout, answer.stderr) == (3, b"none\n", b"gaxx: demo-2: exit 9\n")


def test_a_tunnel_goes_through_it_until_ctrl_c(behind: Behind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    address = behind.fleet.known.nodes[0].address
    line = [*behind.jump.user_space, sys.executable, "-m", "tasks.cli.main", "tunnel", "demo-1"]
    process = subprocess.Popen(
        [*line, f"{port}:{address}:{SSH_PORT}"], env=behind.fleet.environ, start_new_session=True,
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    until(lambda: banner(port).startswith(b"SSH-2.0-"))

    # As a terminal does it: to all of them.
    os.killpg(process.pid, signal.SIGINT)

    _, said = process.communicate(timeout=20)
    assert (process.returncode, said.count(b"\n")) == (0, 1), said
    until(lambda: not _clients(behind))


def test_status_asks_agents_and_sshds_through_it(behind: Behind) -> None:
    answer = behind.fleet.gaxx("status", "--json")
    said = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [line["state"] for line in said] == ["ok", "ok"], answer.stderr
    assert all(line["ssh_banner"].startswith("SSH-2.0-") for line in said)


def test_exposure_is_asked_from_the_jump_host_whom_the_rules_let_in(behind: Behind) -> None:
    path = behind.fleet.root / "stacks/Pulumi.demo.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("config:\n  gaxx:fleets:\n    - {name: demo, nodes: 2}\n")
    silent = "import socket,sys; s=socket.create_server((sys.argv[1], 7777)); print(flush=True); sys.stdin.read()"
    line = [*behind.jump.inside, sys.executable, "-c", silent, behind.fleet.known.nodes[0].address]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as listener:
        assert listener.stdout is not None
        listener.stdout.readline()
        answer = behind.fleet.gaxx("status", "--exposure", "--json", "--timeout", "0.5", "--ports", "7777")
        listener.communicate()
    path.unlink()

    cells = [json.loads(line) for line in answer.stdout.splitlines()]
    here = {(cell["node"], cell["port"]): cell["answer"] for cell in cells if cell["asker"] == "here"}
    assert here == {
        **{(node, port): "answers" for node in ("demo-1", "demo-2") for port in (SSH_PORT, 8088, 9091)},
        **{(node, 6060): "refused" for node in ("demo-1", "demo-2")},
        ("demo-1", 7777): "silent",
        ("demo-2", 7777): "refused",
    }
    assert answer.returncode == 3
    assert [line for line in answer.stderr.splitlines() if b"demo-1: 7777 must not be open from here" in line]


def test_the_provider_logs_in_through_it(behind: Behind) -> None:
    assert json.loads(behind.provider("""echo '{"ran": "there"}'""")) == {"ran": "there"}


@pytest.mark.parametrize("form", ["ssh_config", "ansible"])
def test_other_programs_are_told_the_way(behind: Behind, tmp_path: pathlib.Path, form: str) -> None:
    told = behind.fleet.gaxx("inventory", "--format", form).stdout.decode()
    if form == "ssh_config":
        (tmp_path / "config").write_text(told)
        line = ["-F", str(tmp_path / "config"), "demo-1"]
    else:
        one = json.loads(told)["_meta"]["hostvars"]["demo-1"]
        line = ["-F", "none", "-i", one["ansible_ssh_private_key_file"], *shlex.split(one["ansible_ssh_common_args"])]
        line += ["-p", str(one["ansible_port"]), f"{one['ansible_user']}@{one['ansible_host']}"]
    answer = behind.run(*behind.jump.user_space, "ssh", "-o", "BatchMode=yes", *line, "echo", "there")
    assert (answer.returncode, answer.stdout) == (0, "there\n"), answer.stderr


def test_ci_gets_through_it_with_a_key_that_is_on_no_disk(behind: Behind) -> None:
    key, known = behind.jump.ssh / "id_ed25519", behind.jump.ssh / "known_hosts"
    # As a pasted secret comes: without the end of its last line.
    secrets = {"GAXX_JUMP_HOST_KEY": key.read_text().strip(), "GAXX_JUMP_HOST_KNOWN_HOSTS": known.read_text()}
    kept = key.rename(behind.jump.folder / "kept")
    behind.jump.forget()
    environ, program = behind.fleet.environ, [*behind.jump.user_space, sys.executable, "-m", "tasks.ci.jump_host"]
    try:
        assert behind.fleet.gaxx("run", "--", "true").returncode == 2

        told = subprocess.run(program, env={**environ, **secrets}, capture_output=True, text=True, check=True)
        found = dict(line.removeprefix("export ").split("=", 1) for line in told.stdout.splitlines())
        behind.fleet.environ = {**environ, **found}
        answer = behind.fleet.gaxx("run", "--", "echo", "there")
        agent = pathlib.Path("/proc", found["SSH_AGENT_PID"], "environ").read_bytes()
        subprocess.run(["ssh-agent", "-k"], env={**os.environ, **found}, check=True, capture_output=True)
    finally:
        behind.fleet.environ = environ
        kept.rename(key)

    assert (answer.returncode, answer.stdout) == (0, b"--- demo-[1-2] (2): ok\nthere\n"), answer.stderr
    assert told.stderr == ""
    assert b"GAXX_JUMP_HOST_KEY=" not in agent, "whoever reads the agent's environment has the key"
    assert known.stat().st_mode & 0o077 == 0


def test_the_users_own_ssh_settings_hold_for_it_and_not_for_the_nodes(behind: Behind) -> None:
    address = behind.fleet.known.nodes[0].address
    (behind.jump.ssh / "config").write_text(
        f"Host bastion\n  HostName {behind.jump.address}\n  Port {behind.jump.port}\n"
        # Neither of these may be followed: not to the nodes, not where it would weaken the checks.
        f"Host {address}\n  ProxyCommand false\nHost *\n  StrictHostKeyChecking no\n"
    )
    behind.change(jump_host="bastion")
    try:
        assert behind.fleet.gaxx("ssh", "demo-1", "--", "true").returncode == 0
        assert behind.fleet.gaxx("run", "--via", "ssh", "--", "true").returncode == 0
        behind.jump.forget()
        assert behind.fleet.gaxx("ssh", "demo-1", "--", "true").returncode == 2
        assert not (behind.jump.ssh / "known_hosts").exists(), "it was believed at first sight"
    finally:
        (behind.jump.ssh / "config").unlink()


WAYS = (("run", "--"), ("run", "--via", "ssh", "--"), ("ssh", "demo-1", "--"))


@pytest.mark.parametrize("way", WAYS, ids=["forwarding", "fabric", "ssh"])
@pytest.mark.parametrize("known", ["", OTHER_KEY], ids=["unknown", "changed"])
def test_a_jump_host_that_does_not_prove_itself_is_refused(behind: Behind, way: tuple[str, ...], known: str) -> None:
    behind.jump.know(known) if known else behind.jump.forget()
    answer = behind.fleet.gaxx(*way, "true")
    text = (answer.stdout + answer.stderr).decode()
    assert answer.returncode == 2
    wrong = "is not the one that your known_hosts has" if known else "is not known"
    assert f"the host key of the jump host {behind.jump.text} {wrong}" in text
    if way[0] == "ssh" and not known:
        assert "ssh-keyscan -p" in text
        assert text.count("\n") == 1


@pytest.mark.parametrize("way", WAYS, ids=["forwarding", "fabric", "ssh"])
def test_a_jump_host_that_is_not_there_is_named(behind: Behind, way: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    behind.change(jump_host=f"ada@127.0.0.1:{port}")
    answer = behind.fleet.gaxx(*way, "true")
    assert answer.returncode == 5
    assert f"the jump host ada@127.0.0.1:{port}: connection refused".encode() in answer.stdout + answer.stderr


@pytest.mark.parametrize("way", WAYS, ids=["forwarding", "fabric", "ssh"])
def test_a_jump_host_that_does_not_let_us_in_is_named(behind: Behind, way: tuple[str, ...]) -> None:
    behind.change(jump_host=behind.jump.text.replace("@", "2@"))
    answer = behind.fleet.gaxx(*way, "true")
    assert answer.returncode == 2
    assert b"does not let us in: permission denied" in (answer.stdout + answer.stderr).lower()


@pytest.mark.parametrize("way", WAYS, ids=["forwarding", "fabric", "ssh"])
def test_a_dead_node_behind_a_jump_host_that_is_well_is_the_one_that_is_named(
    behind: Behind, way: tuple[str, ...]
) -> None:
    behind.change(ssh_port=1)
    answer = behind.fleet.gaxx(*way, "true")
    assert answer.returncode == 5
    words = f"connection refused (from the jump host {behind.jump.text})"
    assert words.encode() in answer.stdout + answer.stderr


@pytest.mark.parametrize("way", WAYS, ids=["forwarding", "fabric", "ssh"])
def test_a_node_must_prove_itself_behind_a_jump_host_too(behind: Behind, way: tuple[str, ...]) -> None:
    behind.change(ssh_host_keys=(OTHER_KEY,))
    answer = behind.fleet.gaxx(*way, "true")
    assert answer.returncode == 2
    assert b"the host key is not the one pinned in the inventory" in answer.stdout + answer.stderr


@pytest.mark.parametrize("way", WAYS[:2], ids=["forwarding", "fabric"])
def test_a_log_in_that_a_busy_jump_host_drops_is_tried_again(behind: Behind, way: tuple[str, ...]) -> None:
    behind.jump.dropping = 1
    answer = behind.fleet.gaxx(*way, "true")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert behind.jump.dropping == 0


def test_the_provider_tells_the_jump_hosts_faults_from_the_nodes(behind: Behind) -> None:
    jump = behind.jump.text
    behind.jump.forget()
    assert behind.provider().startswith(f"Refused 2 demo-1: the host key of the jump host {jump} is not known")
    behind.jump.know()
    behind.change(ssh_port=1)
    assert behind.provider().startswith("UnreachableError 5 demo-1: no sshd at")
    assert f"connection refused (from the jump host {jump})" in behind.provider()
    behind.change(ssh_port=SSH_PORT, jump_host="127.0.0.1:1")
    said = behind.provider()
    assert said.startswith("JumpHostError 5 demo-1: the jump host 127.0.0.1:1: connection refused")


@pytest.mark.parametrize("command", ["echo {}", "exit 1"])
def test_no_client_outlives_a_connection(behind: Behind, command: str) -> None:
    behind.provider(command)
    behind.fleet.gaxx("run", "--via", "ssh", "--", "true")
    behind.change(ssh_host_keys=(OTHER_KEY,))
    behind.provider(command)
    behind.fleet.gaxx("run", "--via", "ssh", "--", "true")
    assert _clients(behind) == []


def test_no_client_outlives_a_provider_that_is_killed(behind: Behind) -> None:
    process = subprocess.Popen(
        behind.log_in(stays=True), env=behind.fleet.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"{}\n"
    (client,) = remains.descendants(process.pid)
    process.kill()
    process.communicate()
    until(lambda: not pathlib.Path(f"/proc/{client}").exists())


def _clients(behind: Behind) -> list[str]:
    return [line for line in remains.processes(str(behind.jump.ssh.parent)) if " -W " in line]
