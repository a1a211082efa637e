"""`gaxx run --via ssh`: the same command through sshd, for when the agents cannot be used; one connection a node.

What the protocol cannot carry is done by the remote shell: it sets the environment by `env`, says its process
group first of all (sshd refuses to pass signals on in sessions of its own user), and turns the signal that killed
the command into 128 + n.
"""

import asyncio
import collections.abc
import concurrent.futures
import functools
import os
import select
import shlex
import threading
import time

import paramiko

from components.errors import GaxxError, Refused
from components.inventory import Node
from tasks import identity
from tasks.fanout import fan_out
from tasks.inventory import Found
from tasks.outcome import Ending, Outcome
from tasks.run.command import Command, Interrupt, Listener, Report
from tasks.ssh import fabric_connection

_CHUNK_BYTES = 64 * 1024
_POLL_S = 0.2
KILL_GRACE_S = 5.0
"""Between SIGTERM and SIGKILL."""


async def run_over_ssh(
    found: Found,
    nodes: collections.abc.Sequence[Node],
    command: Command,
    listener: Listener,
    interrupt: Interrupt,
) -> Report:
    """Execute `command` on `nodes` through SSH, in at most `command.fanout` threads."""
    begin = time.monotonic()
    operator = identity.load()
    identity.principal(found.inventory, operator)
    loop = asyncio.get_running_loop()
    ranks = {node.name: rank for rank, node in enumerate(nodes)}
    count = min(command.fanout, len(nodes))
    with (
        concurrent.futures.ThreadPoolExecutor(count, "ssh") as sessions,
        concurrent.futures.ThreadPoolExecutor(count, "ssh-stdin") as feeders,
    ):

        async def on_node(node: Node) -> Outcome:
            if interrupt.count:
                return Outcome(node.name, Ending.CANCELLED, started=False)
            session = _Session(node, operator, command, _line(node, ranks[node.name], len(nodes), command))
            feeding = asyncio.ensure_future(_feed(session, command, feeders)) if command.stdin else None
            take = functools.partial(_take, loop, listener, node.name)
            try:
                with interrupt.watching(session):
                    return await loop.run_in_executor(sessions, session.run, take)
            finally:
                if feeding is not None:
                    feeding.cancel()
                    await asyncio.gather(feeding, return_exceptions=True)

        outcomes = await fan_out(nodes, on_node, fanout=command.fanout, on_result=listener.finished)
    return Report(command.run_id, tuple(outcomes), bool(interrupt.count), time.monotonic() - begin)


Take = collections.abc.Callable[[bytes, bool], bool]


def _take(loop: asyncio.AbstractEventLoop, listener: Listener, node: str, data: bytes, is_stderr: bool) -> bool:  # noqa: FBT001
    # Back to the loop's thread: a listener is no more thread-safe than a terminal is.
    async def tell() -> bool:
        return listener.output(node, data, is_stderr=is_stderr)

    return asyncio.run_coroutine_threadsafe(tell(), loop).result()


async def _feed(session: "_Session", command: Command, feeders: concurrent.futures.Executor) -> None:
    loop = asyncio.get_running_loop()
    if command.stdin is not None:
        async for chunk in command.stdin.chunks():
            await loop.run_in_executor(feeders, session.feed, chunk)
    await loop.run_in_executor(feeders, session.feed, b"")


def _line(node: Node, rank: int, count: int, command: Command) -> str:
    own = {
        "GAXX_RUN_ID": command.run_id,
        "GAXX_NODE": node.name,
        "GAXX_NODE_RANK": str(rank),
        "GAXX_NODE_COUNT": str(count),
    }
    variables = [f"{name}={os.fsdecode(value)}" for name, value in command.env.items()]
    variables += [f"{name}={value}" for name, value in own.items()]
    # The shell stays (`; exit`): it is what tells a command killed by a signal from a connection that broke.
    words = shlex.join(["env", *variables, *map(os.fsdecode, command.argv)])
    # Its own remarks ("Killed …") go nowhere: they would pass for the command's.
    return f"echo {_mark(command)}$$ >&2; exec 3>&2 2>/dev/null; {words} 2>&3 3>&-; exit $?"


def _mark(command: Command) -> str:
    return f"gaxx-run-{command.run_id}-"


class _Session:
    """One command on one node, in one thread; `stop` and `feed` may be called from others."""

    def __init__(self, node: Node, operator: identity.Operator, command: Command, line: str) -> None:
        self._node, self._operator, self._command, self._line = node, operator, command, line
        self._channel: paramiko.Channel | None = None
        self._ready = threading.Event()
        self._stops = 0
        self._kill_at_s = 0.0
        self._group = 0
        self._opening: bytes | None = b""
        self._kept: dict[bool, bytearray] = {False: bytearray(), True: bytearray()}
        self._cut = {False: False, True: False}

    def stop(self, *, now: bool) -> None:
        """Ask the session's thread to send SIGTERM; `now`: to close it."""
        self._stops = 2 if now else max(self._stops, 1)

    def feed(self, data: bytes) -> None:
        """Write to the command's stdin; b"" ends it. Waits for the session to be there, and for the remote to read."""
        self._ready.wait()
        if self._channel is None:
            return
        try:
            self._channel.sendall(data) if data else self._channel.shutdown_write()
        except OSError:
            # The command has ended without reading everything: that is its right.
            return

    def run(self, take: Take) -> Outcome:
        """Connect, execute, and answer for the node whatever happens."""
        begin = time.monotonic()
        try:
            connection = fabric_connection.opened(
                self._node, self._operator, connect_timeout_s=self._command.connect_timeout_s
            )
        except GaxxError as error:
            self._ready.set()
            return self._never(error)
        try:
            channel = connection.transport.open_session(timeout=self._command.connect_timeout_s)
            channel.exec_command(os.fsencode(self._line))
        except Exception as error:  # noqa: BLE001 - mapped, or raised again
            connection.close()
            return self._never(fabric_connection.failure(self._node, error))
        finally:
            self._ready.set()
        self._channel = channel
        try:
            if self._command.stdin is None:
                channel.shutdown_write()
            return self._follow(channel, begin, take)
        except (paramiko.SSHException, EOFError, OSError) as error:
            return self._outcome(Ending.LOST, begin, error=f"the connection broke: {error}")
        finally:
            connection.close()

    def _follow(self, channel: paramiko.Channel, begin: float, take: Take) -> Outcome:
        deadline = begin + self._command.timeout_s if self._command.timeout_s else float("inf")
        why: Ending | None = None
        while True:
            self._drain(channel, take)
            if channel.exit_status_ready() and (channel.closed or channel.eof_received):
                self._drain(channel, take)
                break
            now = time.monotonic()
            if why is None and (self._stops or now >= deadline):
                why = Ending.CANCELLED if self._stops else Ending.DEADLINE
                self._signal(channel, "TERM")
                self._kill_at_s = now + KILL_GRACE_S
            if why is not None and (self._stops > 1 or now >= self._kill_at_s):
                self._signal(channel, "KILL")
                return self._outcome(why, begin)
            if channel.closed:
                break
            # One descriptor for both streams and the end; the poll is for stop and deadline only.
            select.select([channel], [], [], min(_POLL_S, max(0.0, deadline - now)))
        if self._opening and not take(self._opening, True):
            self._kept[True] += self._opening
        status = channel.recv_exit_status() if channel.exit_status_ready() else -1
        if why is not None:
            return self._outcome(why, begin)
        if status < 0:
            return self._outcome(Ending.LOST, begin, error="the connection broke: no exit status came")
        return self._outcome(Ending.EXITED, begin, exit_code=status)

    def _drain(self, channel: paramiko.Channel, take: Take) -> None:
        for is_stderr, ready, receive in (
            (False, channel.recv_ready, channel.recv),
            (True, channel.recv_stderr_ready, channel.recv_stderr),
        ):
            while ready():
                data = receive(_CHUNK_BYTES)
                if is_stderr:
                    data = self._without_mark(data)
                if data and not take(data, is_stderr):
                    room = self._command.output_limit_bytes - len(self._kept[is_stderr])
                    self._kept[is_stderr] += data[: max(0, room)]
                    self._cut[is_stderr] |= len(data) > room

    def _without_mark(self, data: bytes) -> bytes:
        if self._opening is None:
            return data
        self._opening += data
        mark = _mark(self._command).encode()
        before, found, after = self._opening.partition(mark)
        number, end, rest = after.partition(b"\n")
        if found and end:
            self._opening, self._group = None, int(number)
            return before + rest
        if len(self._opening) > _CHUNK_BYTES:
            # No shell of ours has spoken: then there is nobody to signal, but nothing is withheld.
            everything, self._opening = self._opening, None
            return everything
        return b""

    def _signal(self, channel: paramiko.Channel, name: str) -> None:
        transport = channel.get_transport()
        if not self._group or transport is None:
            return
        killing = transport.open_session(timeout=KILL_GRACE_S)
        killing.settimeout(KILL_GRACE_S)
        killing.exec_command(f"kill -{name} -- -{self._group}")
        killing.recv(1)  # its end: when this returns, the signal is out

    def _never(self, error: GaxxError) -> Outcome:
        ending = Ending.REFUSED if isinstance(error, Refused) else Ending.UNREACHABLE
        text = error.message.removeprefix(f"{self._node.name}: ")
        return Outcome(self._node.name, ending, error=text, started=False)

    def _outcome(self, ending: Ending, begin: float, *, exit_code: int | None = None, error: str = "") -> Outcome:
        return Outcome(
            self._node.name,
            ending,
            exit_code=exit_code,
            error=error,
            stdout=bytes(self._kept[False]),
            stderr=bytes(self._kept[True]),
            stdout_cut=self._cut[False],
            stderr_cut=self._cut[True],
            wall_s=time.monotonic() - begin,
        )
