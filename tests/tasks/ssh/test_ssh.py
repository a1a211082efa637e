"""Everything that goes over SSH, against real sshds: pinned keys, one clear line, and the same answers as by agent."""

import contextlib
import pathlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.tasks.fleet import SSH_PORT, Fleet, banner
from tests.waiting import alive, until

pytestmark = pytest.mark.engine

OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


@pytest.fixture
def changed_key(three: Fleet) -> Fleet:
    """The inventory pins another key for demo-2 than its sshd presents."""
    one, two, *rest = three.known.nodes
    two = two._replace(ssh_host_keys=(OTHER_KEY,))
    three.rewrite(three.known._replace(nodes=(one, two, *rest)))
    return three


@pytest.fixture
def behind_ssh(three: Fleet) -> Iterator[Fleet]:
    """The same nodes, reached through SSH only; the kept connections are ended afterwards."""
    nodes = tuple(node._replace(reach="ssh") for node in three.known.nodes)
    three.rewrite(three.known._replace(nodes=nodes))
    yield three
    for control in pathlib.Path(three.environ["XDG_RUNTIME_DIR"], "gaxx").glob("*.c"):
        subprocess.run(
            ["ssh", "-F", "none", "-o", f"ControlPath={control}", "-O", "exit", "any"], check=True, capture_output=True
        )


def test_run_over_ssh_says_what_the_agents_say(three: Fleet) -> None:
    argv = ("--env", "MINE=a b", "--", "sh", "-c", 'echo "$MINE" "$1"; echo no >&2; exit 7', "x", "q\"u'o$te")
    by_agent, by_ssh = three.gaxx("run", *argv), three.gaxx("run", "--via", "ssh", *argv)
    assert (by_ssh.returncode, by_ssh.stdout) == (by_agent.returncode, by_agent.stdout)
    assert by_ssh.stderr.splitlines()[:-1] == by_agent.stderr.splitlines()[:-1]


def test_run_over_ssh_gives_stdin_to_every_node(three: Fleet) -> None:
    answer = three.gaxx("run", "--via", "ssh", "--", "wc", "-c", stdin=b"x" * 200_000)
    assert answer.stdout == b"--- demo-[1-3] (3): ok\n200000\n"


def test_run_over_ssh_kills_what_takes_too_long_with_all_its_children(three: Fleet) -> None:
    script = "echo $$; sleep 60 & wait"
    answer = three.gaxx("run", "--via", "ssh", "--json", "--timeout", "0.5", "--", "sh", "-c", script)
    assert answer.returncode == 3
    assert answer.stdout.count(b'"ending":"deadline"') == 3
    until(lambda: not _in_tmp_session(answer.stdout))


def _in_tmp_session(stdout: bytes) -> list[int]:
    import json

    pids = [int(line["stdout"]) for line in map(json.loads, stdout.splitlines()) if "stdout" in line]
    return [pid for pid in pids if alive(pid)]


def test_ctrl_c_ends_commands_over_ssh_as_well(three: Fleet) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tasks.cli.main", "run", "--via=ssh", "--stream", "--", "sh", "-c", "echo $$; sleep 60"],
        cwd=three.root, env=three.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    pids = [int(process.stdout.readline().split()[-1]) for _ in range(3)]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    until(lambda: not any(map(alive, pids)))


def test_a_changed_host_key_is_refused_under_run(changed_key: Fleet) -> None:
    answer = changed_key.gaxx("run", "--via", "ssh", "--", "true")
    assert answer.returncode == 2
    assert b"--- demo-2 (1): refused: the host key is not the one pinned in the inventory\n" in answer.stdout
    assert b"--- demo-[1,3] (2): ok\n" in answer.stdout


def test_a_changed_host_key_is_refused_under_ssh(changed_key: Fleet) -> None:
    answer = changed_key.gaxx("ssh", "demo-2", "--", "true")
    assert answer.returncode == 2
    assert answer.stderr.startswith(b"gaxx: demo-2: the host key is not the one pinned in the inventory")
    assert answer.stderr.count(b"\n") == 1


def test_a_changed_host_key_is_refused_under_forwarding(changed_key: Fleet) -> None:
    two = changed_key.known.nodes[1]._replace(reach="ssh")
    changed_key.rewrite(changed_key.known._replace(nodes=(two,)))
    answer = changed_key.gaxx("run", "--", "true")
    assert answer.returncode == 2
    assert b"refused: the host key is not the one pinned" in answer.stdout


def test_a_changed_host_key_is_refused_under_tunnel(changed_key: Fleet) -> None:
    answer = changed_key.gaxx("tunnel", "demo-2", "18088:8088")
    assert answer.returncode == 2
    assert b"the host key is not the one pinned" in answer.stderr


def test_nobody_at_the_port_is_unreachable(three: Fleet) -> None:
    (one, *_) = three.known.nodes
    three.rewrite(three.known._replace(nodes=(one._replace(ssh_port=1),)))
    answer = three.gaxx("run", "--via", "ssh", "--", "true")
    assert (answer.returncode, answer.stdout) == (5, b"--- demo-1 (1): unreachable: connection refused\n")
    answer = three.gaxx("ssh", "demo-1")
    assert (answer.returncode, answer.stderr) == (5, b"gaxx: demo-1: connection refused\n")


def test_a_shell_ends_well_whatever_its_last_command_was(three: Fleet) -> None:
    answer = three.gaxx("ssh", "demo-1", stdin=b"echo from $SHELL; exit 4\n")
    assert answer.returncode == 0
    assert answer.stdout.startswith(b"from ")


def test_a_command_over_ssh_that_fails_is_exit_3_with_its_code_named(three: Fleet) -> None:
    answer = three.gaxx("ssh", "demo-1", "--", "sh", "-c", "echo 'a  b'; exit 9")
    assert (answer.returncode, answer.stdout, answer.stderr) == (3, b"a  b\n", b"gaxx: demo-1: exit 9\n")


@pytest.mark.parametrize("asked", [False, True])
def test_the_agent_is_forwarded_only_when_asked_for(three: Fleet, asked: bool) -> None:
    with _ssh_agent() as variables:
        three.environ.update(variables)
        try:
            option = ["-A"] if asked else []
            answer = three.gaxx("ssh", *option, "demo-1", "--", "sh", "-c", 'echo "${SSH_AUTH_SOCK:-none}"')
        finally:
            for name in variables:
                del three.environ[name]
    assert answer.returncode == 0, answer.stderr
    assert (answer.stdout != b"none\n") is asked


@contextlib.contextmanager
def _ssh_agent() -> Iterator[dict[str, str]]:
    said = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    variables = dict(part.split("=") for part in said.replace("\n", " ").split("; ") if part.startswith("SSH_"))
    try:
        yield {"SSH_AUTH_SOCK": variables["SSH_AUTH_SOCK"]}
    finally:
        subprocess.run(["ssh-agent", "-k"], env=variables, capture_output=True, check=True)


def test_agents_behind_ssh_answer_and_the_connection_is_kept(behind_ssh: Fleet) -> None:
    first = behind_ssh.gaxx("run", "--", "echo", "there")
    assert (first.returncode, first.stdout) == (0, b"--- demo-[1-3] (3): ok\nthere\n"), first.stderr
    sockets = sorted(pathlib.Path(behind_ssh.environ["XDG_RUNTIME_DIR"], "gaxx").glob("*.s"))
    assert len(sockets) == 3
    born = [path.stat().st_ctime_ns for path in sockets]
    assert behind_ssh.gaxx("status").returncode == 0
    assert [path.stat().st_ctime_ns for path in sockets] == born, "the second command made a connection of its own"
    assert {path.stat().st_mode & 0o777 for path in sockets} == {0o600}


def test_a_tunnel_leads_to_the_nodes_port(three: Fleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    address = three.known.nodes[0].address
    process = subprocess.Popen(
        [sys.executable, "-m", "tasks.cli.main", "tunnel", "demo-1", f"{port}:{address}:{SSH_PORT}"],
        cwd=three.root, env=three.environ, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        until(lambda: banner(port).startswith(b"SSH-2.0-"))
    finally:
        process.send_signal(signal.SIGINT)
        for child in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            subprocess.run(["kill", "-INT", child], check=False)
        process.communicate(timeout=10)
