"""One executing command: from its pipes to its Exit."""

import os
import resource
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.proto.agent_pb2 import CANCELLED, DEADLINE, EXITED, SIGNALED, SPAWN_FAILED, Ending, Exit
from agent.proto.runner_pb2 import Finished, Spawn
from agent.runner.feed import Feed
from agent.runner.loop import READ, Loop, Timer
from agent.runner.output import CollectedOutput, Output, StreamedOutput
from agent.runner.spawning import Spawner, SpawnFailed
from agent.runner.stragglers import kill_session

if TYPE_CHECKING:
    from agent.runner.cgroups import Cgroup, Cgroups

KILL_GRACE_S = 5.0
"""Between TERM and KILL."""

LINGER_S = 1.0
"""How long output may still come from what an item left behind, before that is killed."""


class Item:
    """A process group with its pipes. Calls `done` exactly once, when nothing more will come."""

    def __init__(
        self,
        loop: Loop,
        spawn: Spawn,
        *,
        emit: Callable[["Item", bool, bytes], None],
        taken: Callable[["Item", int], None],
        done: Callable[["Item"], None],
    ) -> None:
        self.spawn = spawn
        self.id = spawn.id
        self.pid = 0
        self.detached = spawn.detached
        self.silent: Timer | None = None
        """Runs until it is said by itself that the process began."""
        self.finished = Finished(id=spawn.id)
        self._loop = loop
        self._emit: Callable[[Item, bool, bytes], None] | None = emit
        self._taken: Callable[[Item, int], None] | None = taken
        self._done = done
        self._outputs: tuple[Output, ...] = ()
        self._feed: Feed | None = None
        self._cgroups: Cgroups | None = None
        self._cgroup: Cgroup | None = None
        self._timers: list[Timer] = []
        self._ending: Ending = EXITED
        self._status: int | None = None
        self._usage: resource.struct_rusage | None = None
        self._began_s = 0.0
        self._is_done = False

    def start(self, spawner: Spawner) -> None:
        """Start the process. What prevents it becomes a SPAWN_FAILED exit, reported by `done`."""
        command = self.spawn.command
        self.finished.start_unix_s = time.time()
        self._began_s = time.monotonic()
        ends: list[int] = []
        try:
            out_read, out_write = _pipe(ends)
            err_read, err_write = _pipe(ends)
            feed_read: int | None = None
            feed_write = -1
            if command.has_stdin or self.spawn.stdin_data:
                feed_read, feed_write = _pipe(ends)
            folders = [self.spawn.work_dir or spawner.work_dir]
            if command.cwd:
                folders.append(command.cwd)
            if spawner.cgroups is not None:
                self._cgroups, self._cgroup = spawner.cgroups, spawner.cgroups.take()
            pipes = (feed_read, out_write, err_write)
            self.pid = spawner.start(command.argv, command.env, folders, pipes, self._cgroup)
        except (SpawnFailed, OSError) as fault:
            for end in ends:
                os.close(end)
            self.fail(SPAWN_FAILED, str(fault))
            return
        os.close(out_write)
        os.close(err_write)
        os.set_blocking(out_read, False)
        os.set_blocking(err_read, False)
        self._open(out_read, err_read)
        if feed_read is not None:
            os.close(feed_read)
            os.set_blocking(feed_write, False)
            self._feed = Feed(self._loop, feed_write, self._on_taken)
            self._feed.write(self.spawn.stdin_data, eof=not command.has_stdin)
        if command.deadline_s > 0:
            self._timers.append(self._loop.after(command.deadline_s, lambda: self.kill(DEADLINE)))

    def speaks(self) -> None:
        """Something is said of the process: that it began need not be."""
        if self.silent is not None:
            self.silent.cancel()
            self.silent = None

    def fail(self, ending: Ending, error: str = "") -> None:
        """Report an item that has no process: it never started, or was called off while queued."""
        self.finished.exit.ending = ending
        self.finished.exit.error = error
        self.finished.end_unix_s = time.time()
        self._finish()

    def _open(self, out_read: int, err_read: int) -> None:
        command, spawn = self.spawn.command, self.spawn
        if spawn.collect:
            inline, folder = spawn.inline_limit_bytes, spawn.spool
            self._outputs = (
                CollectedOutput(out_read, command.stdout_limit_bytes, inline, folder, "stdout"),
                CollectedOutput(err_read, command.stderr_limit_bytes, inline, folder, "stderr"),
            )
        else:
            self._outputs = (
                StreamedOutput(out_read, command.stdout_limit_bytes, lambda data: self._on_output(False, data)),
                StreamedOutput(err_read, command.stderr_limit_bytes, lambda data: self._on_output(True, data)),
            )
            self.watch()

    def _on_output(self, is_stderr: bool, data: bytes) -> None:  # noqa: FBT001 - the wire's own flag
        if self._emit is not None:
            self._emit(self, is_stderr, data)

    def _on_taken(self, count: int) -> None:
        if self._taken is not None and not self._is_done:
            self._taken(self, count)

    def watch(self) -> None:
        """Read its pipes from now on. Collected items that end at once are spared this."""
        for output in self._outputs:
            if output.is_open and not output.watched and not output.blocked:
                output.watched = True
                self._loop.watch(output.fd, READ, lambda output=output: self._readable(output))  # type: ignore[misc]

    def _readable(self, output: Output) -> None:
        if output.read():
            self._close(output)
            self._settle()
        elif output.blocked:
            self._unwatch(output)

    def _unwatch(self, output: Output) -> None:
        if output.watched:
            output.watched = False
            self._loop.unwatch(output.fd)

    def _close(self, output: Output) -> None:
        self._unwatch(output)
        output.close()

    def write(self, data: bytes, *, eof: bool) -> None:
        """Pass stdin on."""
        if self._feed is not None:
            self._feed.write(data, eof=eof)

    def credit(self, count: int) -> None:
        """The client took `count` bytes: read on."""
        for output in self._outputs:
            if isinstance(output, StreamedOutput):
                output.window_bytes += count
        self.watch()

    def orphan(self) -> None:
        """Nobody listens any more: a detached process goes on, its output is read and dropped."""
        self._emit = self._taken = None
        for output in self._outputs:
            if isinstance(output, StreamedOutput):
                output.orphan()
        self.watch()

    def signal(self, number: int) -> None:
        """Send a signal to the process group."""
        if self.pid and self._status is None:
            _signal_group(self.pid, number)

    def kill(self, ending: Ending = CANCELLED) -> None:
        """End the group: TERM, after the grace KILL to all of its session. The exit says `ending`."""
        if self._is_done or not self.pid:
            return
        if self._status is not None:
            self._abandon()
            return
        if self._ending == EXITED:
            self._ending = ending
            _signal_group(self.pid, signal.SIGTERM)
            # A stopped process acts on TERM only when it continues.
            _signal_group(self.pid, signal.SIGCONT)
            self._timers.append(self._loop.after(KILL_GRACE_S, self.kill_now))

    def kill_now(self) -> None:
        """KILL the group and what left it for another group of the same session."""
        if not self._is_done and self.pid:
            self._kill_all()

    def _kill_all(self) -> None:
        """KILL everything that the item started, as far as it can be told whose it is."""
        _signal_group(self.pid, signal.SIGKILL)
        if self._cgroup is not None:
            self._cgroup.kill()
        else:
            kill_session(self.pid)

    def reaped(self, status: int, usage: resource.struct_rusage) -> None:
        """The leader has ended; its output may still be in the pipes, or come from its children."""
        self._status = status
        self._usage = usage
        self.finished.end_unix_s = time.time()
        self.finished.exit.wall_s = time.monotonic() - self._began_s
        for output in self._outputs:
            if output.is_open and output.read():
                self._close(output)
        if self._ending != EXITED:
            # It was told to go and has gone: so must all that it started.
            self._kill_all()
        self._settle()
        if not self._is_done:
            self.watch()
            self._timers.append(self._loop.after(LINGER_S, self._linger_over))

    def _linger_over(self) -> None:
        if self._is_done:
            return
        if any(output.blocked for output in self._outputs if output.is_open):
            self._timers.append(self._loop.after(LINGER_S, self._linger_over))
            return
        self._abandon()

    def _abandon(self) -> None:
        """Stop waiting for pipes that something the leader left behind holds open."""
        if not self.detached:
            self._kill_all()
        for output in self._outputs:
            if output.is_open:
                output.read()
                self._close(output)
        self._settle()

    def _settle(self) -> None:
        if self._status is None or any(output.is_open for output in self._outputs):
            return
        if not self.detached:
            # Nothing outlives its item: this is one cheap call that nearly always finds nobody.
            _signal_group(self.pid, signal.SIGKILL)
        self._describe(self.finished.exit, self._status)
        self._finish()

    def _describe(self, exit_: Exit, status: int) -> None:
        if os.WIFSIGNALED(status):
            exit_.signal = os.WTERMSIG(status)
            exit_.ending = SIGNALED
        else:
            exit_.exit_code = os.WEXITSTATUS(status)
            exit_.ending = EXITED
        if self._ending != EXITED:
            exit_.ending = self._ending
        if self._usage is not None:
            exit_.user_s = self._usage.ru_utime
            exit_.system_s = self._usage.ru_stime
            exit_.max_rss_bytes = self._usage.ru_maxrss * 1024
        out, err = self._outputs
        exit_.stdout_bytes, exit_.stderr_bytes = out.seen_bytes, err.seen_bytes
        exit_.stdout_cut, exit_.stderr_cut = out.cut, err.cut
        if isinstance(out, CollectedOutput) and isinstance(err, CollectedOutput):
            self.finished.stdout = bytes(out.inline)
            self.finished.stderr = bytes(err.inline)
            self.finished.output_held = out.held or err.held
            exit_.error = out.error or err.error
        if self._cgroup is not None and self._ending == EXITED and status and not exit_.error:
            exit_.error = self._cgroup.why()

    def _finish(self) -> None:
        if self._is_done:
            return
        self._is_done = True
        for timer in self._timers:
            timer.cancel()
        if self._feed is not None:
            self._feed.close()
        if self._cgroups is not None and self._cgroup is not None:
            # The group's number may be somebody else's from now on.
            self._cgroups.release(self._cgroup, kill=not self.detached)
            self._cgroup = None
        self._done(self)


def _pipe(ends: list[int]) -> tuple[int, int]:
    pair = os.pipe2(os.O_CLOEXEC)
    ends.extend(pair)
    return pair


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        # Nobody left; or what is left has taken another identity (sudo, setuid) and is not ours to signal.
        return
