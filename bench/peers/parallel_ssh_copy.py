"""parallel-ssh's library, one file to all hosts by SFTP: `python bench/peers/parallel_ssh_copy.py FOLDER FILE`.

FOLDER/targets.json says where it goes on each address. Its native client checks no host keys and no digests; that
is to its advantage.
"""

import json
import pathlib
import sys

from gevent import joinall  # type: ignore[import-untyped]
from pssh.clients import ParallelSSHClient


def main(folder: pathlib.Path, path: str) -> int:
    """Return 0 when the file is on every host; a failure raises."""
    nodes = json.loads((folder / "nodes.json").read_text())
    targets = json.loads((folder / "targets.json").read_text())
    hosts = nodes["addresses"]
    client = ParallelSSHClient(
        hosts, user=nodes["user"], port=nodes["port"], pkey=nodes["key"], pool_size=len(hosts), allow_agent=False
    )
    copies = client.copy_file(path, "%(target)s", copy_args=[{"target": targets[host]} for host in hosts])
    joinall(copies, raise_error=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2]))
