"""`gaxx status`: which of agent, sshd and machine is dead, said exactly."""

import json
import pathlib
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.tasks.fleet import Fleet, fleet
from tests.waiting import until

pytestmark = pytest.mark.engine


def states(answer: "subprocess.CompletedProcess[bytes]") -> dict[str, dict[str, Any]]:
    return {line["node"]: line for line in map(json.loads, answer.stdout.splitlines())}


def test_living_nodes_are_ok(three: Fleet) -> None:
    answer = three.gaxx("status")
    assert (answer.returncode, answer.stderr) == (0, b"")
    assert [line.split()[:2] for line in answer.stdout.splitlines()[1:]] == [
        [f"demo-{index}".encode(), b"ok"] for index in (1, 2, 3)
    ]


def test_json_carries_what_the_agent_says(three: Fleet) -> None:
    answer = three.gaxx("status", "--json", "-n", "demo-2")
    (line,) = answer.stdout.splitlines()
    info = json.loads(line)["info"]
    assert info["slots"] == 2
    assert info["memory_total_bytes"] > info["memory_available_bytes"] > 0
    assert info["groups"] == ["even"]


def test_what_keeps_a_node_up_is_told_and_since_when_another_is_idle(three: Fleet) -> None:
    line = [
        sys.executable,
        "-m",
        "tasks.cli.main",
        "run",
        "-n",
        "demo-2",
        "--stream",
        "--",
        "sh",
        "-c",
        "echo; exec cat",
    ]
    with subprocess.Popen(
        line,
        cwd=three.root,
        env=three.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as working:
        assert working.stdout is not None
        working.stdout.readline()
        answer = three.gaxx("status", "--why")
        working.communicate()

    header, *rows = answer.stdout.decode().splitlines()
    assert header.endswith("WHY IT IS NOT IDLE")
    assert rows[1].endswith("1 command running")
    assert [row.split()[:2] for row in rows] == [[f"demo-{index}", "ok"] for index in (1, 2, 3)]
    assert rows[0].split()[2] != "-"
    assert rows[1].split()[2] == "-"
    assert three.gaxx("status", "--why", "--exposure").returncode == 1


def test_dead_agent_dead_sshd_and_dead_machine_are_told_apart(tmp_path: pathlib.Path) -> None:
    with fleet(tmp_path, 4, sshd=True) as four:
        four.machines["demo-1"].kill_agent()
        four.machines["demo-2"].kill_sshd()
        four.machines["demo-3"].kill_agent()
        four.machines["demo-3"].kill_sshd()
        answer = four.gaxx("status", "--json")
        assert answer.returncode == 5
        said = states(answer)
        assert {node: line["state"] for node, line in said.items()} == {
            "demo-1": "agent-dead",
            "demo-2": "sshd-dead",
            "demo-3": "dead",
            "demo-4": "ok",
        }
        assert said["demo-1"]["fault"] == "the agent is dead (connection refused); sshd answers"
        assert "sshd is dead" in said["demo-2"]["fault"]
        assert "the machine is dead: neither agent" in said["demo-3"]["fault"]
        table = four.gaxx("status")
        assert table.returncode == 5
        assert table.stderr.count(b"gaxx: demo-") == 3


def test_an_agent_whose_process_hangs_is_dead_within_the_timeout(tmp_path: pathlib.Path) -> None:
    with fleet(tmp_path, 1, sshd=True) as one:
        agent = one.machines["demo-1"].agent
        assert agent is not None
        agent.send_signal(signal.SIGSTOP)
        until(lambda: pathlib.Path(f"/proc/{agent.pid}/stat").read_text().split()[2] == "T")
        answer = one.gaxx("status", "--json", "--timeout", "0.5")
        assert answer.returncode == 5
        assert states(answer)["demo-1"]["agent_error"] == "no answer within 0.5 s"
        agent.send_signal(signal.SIGCONT)


def test_ls_says_what_there_is_and_asks_nobody(three: Fleet) -> None:
    answer = three.gaxx("ls", "--json", "-n", "@odd")
    assert answer.returncode == 0
    nodes = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [node["name"] for node in nodes] == ["demo-1", "demo-3"]
    assert three.known.principals[0].token not in answer.stdout.decode()


@pytest.mark.parametrize("form", ["json", "ssh_config", "ansible", "prometheus"])
def test_the_inventory_for_others_has_no_token_in_it(three: Fleet, form: str) -> None:
    answer = three.gaxx("inventory", "--format", form)
    assert answer.returncode == 0, answer.stderr
    assert b"demo-3" in answer.stdout
    assert three.known.principals[0].token.encode() not in answer.stdout
    if form != "ssh_config":
        json.loads(answer.stdout)


def test_openssh_takes_the_ssh_config(three: Fleet, tmp_path: pathlib.Path) -> None:
    config = tmp_path / "config"
    config.write_bytes(three.gaxx("inventory", "--format", "ssh_config").stdout)
    done = subprocess.run(
        ["ssh", "-F", config, "demo-2", "echo there"], capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    assert (done.stdout, done.returncode) == (b"there\n", 0), done.stderr
