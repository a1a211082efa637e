"""The process that executes items: no keys, no network, one Unix socket to the agent.

    agent.runner_client ─► frames ─► connection (queue, slots) ─► item ─► spawning (posix_spawn)
                                          ◄─ output, feed (pipes) ◄─┘        loop (epoll, SIGCHLD, timers)

It imports protobuf and the standard library, nothing else: its start and its memory count on every node.
"""
