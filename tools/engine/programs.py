"""The programs that a language host has started, and their end: none outlives the host."""

import concurrent.futures
import contextlib
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
import typing
from collections.abc import Iterator, Mapping, Sequence

Stream = typing.Literal["stdout", "stderr"]

GRACE_S = 5.0
"""Between SIGINT and SIGKILL; the engine gives a plugin of its own the same time."""

LAST_OUTPUT_S = 1.0
"""How long the last words of a program that has ended are waited for."""


class Programs:
    """The running programs; each in a process group of its own, none outlives the host."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False
        # The kernel ends the program when this host is killed and can do nothing about it itself.
        # A preexec_fn would do the same, but forks a process full of gRPC's threads.
        setpriv = shutil.which("setpriv")
        self._prefix = (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()

    @contextlib.contextmanager
    def started(
        self, argv: Sequence[str], *, cwd: str, environment: Mapping[str, str], output: int | None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run `argv`; when the block is left, the program has gone.

        `output` None: straight to this host's own stdout and stderr, which the engine shows.
        """
        with self._lock:
            if self._closed:
                message = "the language host is shutting down"
                raise InterruptedError(message)
            process = subprocess.Popen(
                (*self._prefix, *argv),
                cwd=cwd or None,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
            )
            self._running.add(process)
        try:
            yield process
        finally:
            self.end(process)
            with self._lock:
                self._running.discard(process)

    @staticmethod
    def end(process: subprocess.Popen[bytes]) -> None:
        """Ask, wait `GRACE_S`, insist; harmless when the program has ended."""
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal_number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)

    def end_soon(self, process: subprocess.Popen[bytes]) -> None:
        """`end` without waiting for it, for callers that must not block."""
        threading.Thread(target=self.end, args=(process,), daemon=True).start()

    def close(self) -> None:
        """End all programs, side by side, and start no other."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        with concurrent.futures.ThreadPoolExecutor(max(1, len(running))) as pool:
            list(pool.map(self.end, running))


def output(process: subprocess.Popen[bytes]) -> Iterator[tuple[Stream, bytes]]:
    """Give what a program prints, as it prints it, until it ends."""
    messages: queue.SimpleQueue[tuple[Stream, bytes] | None] = queue.SimpleQueue()

    def read(stream: typing.IO[bytes], field: Stream) -> None:
        while chunk := os.read(stream.fileno(), 65536):
            messages.put((field, chunk))

    def finish(readers: Sequence[threading.Thread]) -> None:
        process.wait()
        end = time.monotonic() + LAST_OUTPUT_S
        for reader in readers:
            # Bounded, because a daemon that the program started may hold the pipe open for days.
            reader.join(max(0.0, end - time.monotonic()))
        messages.put(None)

    if process.stdout is None or process.stderr is None:
        fault = "the program was started without pipes"
        raise ValueError(fault)
    readers = (
        threading.Thread(target=read, args=(process.stdout, "stdout"), daemon=True),
        threading.Thread(target=read, args=(process.stderr, "stderr"), daemon=True),
    )
    for reader in readers:
        reader.start()
    threading.Thread(target=finish, args=(readers,), daemon=True).start()
    while (message := messages.get()) is not None:
        yield message
