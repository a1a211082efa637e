"""Fabric's ThreadingGroup, one command on all hosts: `python bench/peers/fabric_group.py FOLDER COMMAND`."""

import json
import pathlib
import sys

import fabric
import fabric.config
import paramiko


def main(folder: pathlib.Path, command: str) -> int:
    """Return 0 when the command ended with 0 on every host; a failure raises."""
    nodes = json.loads((folder / "nodes.json").read_text())
    group = fabric.ThreadingGroup(
        *nodes["addresses"],
        user=nodes["user"],
        port=nodes["port"],
        connect_kwargs={"key_filename": nodes["key"], "allow_agent": False, "look_for_keys": False},
        config=fabric.config.Config(ssh_config=paramiko.SSHConfig()),
    )
    # Read once for all; each connection then gets its own host's keys. Fabric alone would add unknown ones by itself.
    known = paramiko.HostKeys(nodes["known_hosts"])
    for connection in group:
        name = f"[{connection.host}]:{nodes['port']}"
        for kind, key in known[name].items():
            connection.client.get_host_keys().add(name, kind, key)
        connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    group.run(command, hide=True, in_stream=False)
    group.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2]))
