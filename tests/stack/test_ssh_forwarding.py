"""What a node's sshd forwards to: the agent's ports at its own address, and nothing else."""

import pathlib

import pytest

from tests.stack.project import Project

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def test_an_enrolled_node_forwards_to_its_agent_alone(project: Project, tmp_path: pathlib.Path) -> None:
    project.create("demo", {"fleets": [{"name": "demo", "cloud": "local", "nodes": 1}]})
    project.up()

    node = project.inventory().nodes[0]
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text("".join(f"[{node.ssh_host}]:{node.ssh_port} {key}\n" for key in node.ssh_host_keys))
    key = project.home / "config/gaxx/operator/ssh_ed25519"
    options = ["-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={known_hosts}"]
    options += ["-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes", "-i", str(key)]
    options += ["-p", str(node.ssh_port), f"{node.ssh_user}@{node.ssh_host}"]
    for target in (f"{node.address}:{node.agent_port}", f"{node.address}:{node.metrics_port}"):
        project.run("ssh", "-W", target, *options, stdin="not TLS\n", limit_s=30)
    for target in (f"{node.address}:{node.ssh_port}", "127.0.0.1:22", "127.0.0.2:8088", f"{node.address}:6060"):
        refused = project.run("ssh", "-W", target, *options, check=255, limit_s=30)
        assert "administratively prohibited" in refused.stderr
