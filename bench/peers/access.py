"""What SSH tools need to reach the nodes as strictly as we do: the operator's key, and the pinned host keys."""

import json
import pathlib

from bench.stack import Project
from components.inventory import Inventory


def write(project: Project, inventory: Inventory) -> pathlib.Path:
    """Write ssh_config, known_hosts and nodes.json into a folder and return it."""
    folder = project.base / "home/peers"
    folder.mkdir(mode=0o700)
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(
        "".join(f"[{node.ssh_host}]:{node.ssh_port} {key}\n" for node in inventory.nodes for key in node.ssh_host_keys)
    )
    hosts = [
        f"Host {node.name}\n  HostName {node.ssh_host}\n  Port {node.ssh_port}\n  User {node.ssh_user}\n"
        for node in inventory.nodes
    ]
    always = {
        "IdentityFile": project.operator / "ssh_ed25519",
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": known_hosts,
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "LogLevel": "ERROR",
    }
    options = "".join(f"  {name} {value}\n" for name, value in always.items())
    (folder / "ssh_config").write_text(f"{''.join(hosts)}Host *\n{options}")
    # For tools that take only addresses.
    (folder / "nodes.json").write_text(
        json.dumps(
            {
                "user": inventory.nodes[0].ssh_user,
                "port": inventory.nodes[0].ssh_port,
                "key": str(project.operator / "ssh_ed25519"),
                "known_hosts": str(known_hosts),
                "addresses": [node.ssh_host for node in inventory.nodes],
            }
        )
    )
    return folder
