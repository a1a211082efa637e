"""What the runner is asked for a leased item: the run's pattern, and in it what is this item's own."""

import os

from agent.proto import agent_pb2 as pb
from agent.proto.runner_pb2 import Spawn
from agent.work.run_folders import RunFolders

ENVIRONMENT_LIMIT_BYTES = 128 * 1024 - 16
"""Longer items come on stdin and in a file: the kernel takes no variable of 128 KiB."""
INLINE_BYTES = 16 * 1024
"""Of stdout and of stderr in a result; what is longer is fetched."""
UNLIMITED_BYTES = 1 << 62


class SpawnPattern:
    """Everything that is the same for all items of a run, copied for each by the protobuf library at C's speed."""

    def __init__(self, node: str, hello: pb.WorkRequest.Hello, folders: RunFolders) -> None:
        self._isolate = hello.isolate
        self._folders = folders
        whole = hello.keep_whole_output
        self._pattern = Spawn(
            work_dir=os.fsencode(folders.home if hello.cwd else folders.run),
            inline_limit_bytes=INLINE_BYTES,
            command=pb.Command(
                cwd=hello.cwd,
                env=_environment(node, hello, folders),
                deadline_s=hello.deadline_s,
                stdout_limit_bytes=UNLIMITED_BYTES if whole else hello.stdout_limit_bytes,
                stderr_limit_bytes=UNLIMITED_BYTES if whole else hello.stderr_limit_bytes,
            ),
        )

    def fill(self, item: pb.Item, deadline_s: float) -> Spawn:
        """Return the request for one item, once its folder is ready; raise OSError where there is no room for it.

        `deadline_s` is the lease's own, or 0.
        """
        spawn = Spawn()
        spawn.CopyFrom(self._pattern)
        command = spawn.command
        command.argv.extend(item.argv)
        env = command.env
        env["GAXX_ITEM_INDEX"] = b"%d" % item.index
        env["GAXX_ATTEMPT"] = b"%d" % item.attempt
        if _needs_file(item.value):
            path = self._folders.value_file(item)
            self._folders.place(path, item.value, 0o640)
            env["GAXX_ITEM_FILE"] = os.fsencode(path)
            spawn.stdin_data = item.value
        else:
            env["GAXX_ITEM"] = item.value
        if deadline_s:
            command.deadline_s = deadline_s
        if self._isolate or item.files:
            folder = self._folders.prepare(item)
            if self._isolate:
                spawn.work_dir = os.fsencode(folder)
                command.cwd = b""
        spawn.spool = os.fsencode(self._folders.outputs(item))
        return spawn

    def clear(self, item: pb.Item) -> None:
        """Remove what an item that has ended was written to."""
        if _needs_file(item.value):
            self._folders.value_file(item).unlink(missing_ok=True)


def _environment(node: str, hello: pb.WorkRequest.Hello, folders: RunFolders) -> dict[str, bytes]:
    env = {name: value for name, value in hello.env.items() if not name.startswith("GAXX_")}
    env["GAXX_RUN_ID"] = hello.run_id.encode()
    env["GAXX_NODE"] = node.encode()
    env["GAXX_NODE_RANK"] = b"%d" % hello.node_rank
    env["GAXX_NODE_COUNT"] = b"%d" % hello.node_count
    if hello.item_count:
        env["GAXX_ITEM_COUNT"] = b"%d" % hello.item_count
    env["GAXX_RUN_DIR"] = os.fsencode(folders.run)
    env["GAXX_WORK_DIR"] = os.fsencode(folders.home)
    return env


def _needs_file(value: bytes) -> bool:
    return len(value) >= ENVIRONMENT_LIMIT_BYTES or b"\0" in value
