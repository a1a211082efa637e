"""What a controller tells a node when their stream begins: the run, its environment and limits, what it needs."""

import os

from agent.proto import agent_pb2 as pb
from tasks.work.items import Spool
from tasks.work.options import MapOptions
from tasks.work.run_folder import RunFolder


def hello(folder: RunFolder, options: MapOptions, spool: Spool, *, rank: int, nodes: int) -> pb.WorkRequest.Hello:
    """Make the first message to the node of this rank among so many; raise OSError when a file to be sent is gone."""
    return pb.WorkRequest.Hello(
        run_id=folder.id,
        env=dict(options.env),
        cwd=os.fsencode(options.cwd),
        deadline_s=options.time_limit.seconds,
        stdout_limit_bytes=options.output_limit_bytes,
        stderr_limit_bytes=options.output_limit_bytes,
        slots=options.slots,
        lease_s=options.lease_s,
        return_globs=[os.fsdecode(glob) for glob in options.common_returns],
        keep_whole_output=options.keep_whole_output,
        node_rank=rank,
        node_count=nodes,
        item_count=spool.count if spool.complete else 0,
        isolate=options.isolate,
        files=[
            pb.SentFile(path=os.fsencode(file.path), data=folder.sent(file.sha256).read_bytes(), mode=file.mode)
            for file in options.files
        ],
    )
