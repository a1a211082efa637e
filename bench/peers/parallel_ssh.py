"""parallel-ssh's library, one command on all hosts: `python bench/peers/parallel_ssh.py FOLDER COMMAND`.

Its native client checks no host keys; that is to its advantage.
"""

import json
import pathlib
import sys

from pssh.clients import ParallelSSHClient


def main(folder: pathlib.Path, command: str) -> int:
    """Return 0 when the command ended with 0 on every host."""
    nodes = json.loads((folder / "nodes.json").read_text())
    hosts = nodes["addresses"]
    client = ParallelSSHClient(
        hosts, user=nodes["user"], port=nodes["port"], pkey=nodes["key"], pool_size=len(hosts), allow_agent=False
    )
    output = client.run_command(command)
    client.join(output)
    return int(any(host.exit_code for host in output))


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2]))
