"""Our standard input, given to every node: spooled once, so that each node reads it at its own pace."""

import asyncio
import collections.abc
import os
import stat
import threading

CHUNK_BYTES = 64 * 1024


def offered(descriptor: int = 0) -> bool:
    """Whether somebody gave us an input: a pipe, a socket or a file that is not empty; not a terminal or /dev/null."""
    try:
        status = os.fstat(descriptor)
    except OSError:  # closed
        return False
    if stat.S_ISREG(status.st_mode):
        return status.st_size > os.lseek(descriptor, 0, os.SEEK_CUR)
    return stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode)


class Spool:
    """What arrives on a file descriptor, kept in an unnamed file that any number of readers follow."""

    def __init__(self, descriptor: int = 0) -> None:
        import tempfile  # most commands have no input

        self._descriptor = descriptor
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the spool
        self._size_bytes = 0
        self._ended = False
        self._error = ""
        self._grown = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to read, in a thread: a pipe cannot be waited for by every kind of event loop, a file by none."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        # A daemon: nobody waits for an input that never ends once the nodes are done.
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    def close(self) -> None:
        """Forget what was kept; nobody follows any more."""
        self._file.close()

    async def chunks(self) -> collections.abc.AsyncIterator[bytes]:
        """Yield the input from its beginning to its end; raise OSError when it could not be read."""
        self.start()
        offset = 0
        while True:
            grown = self._grown
            if offset < self._size_bytes:
                data = os.pread(self._file.fileno(), min(CHUNK_BYTES, self._size_bytes - offset), offset)
                offset += len(data)
                yield data
            elif self._ended:
                if self._error:
                    raise OSError(self._error)
                return
            else:
                await grown.wait()

    def _read(self) -> None:
        error = ""
        try:
            while data := os.read(self._descriptor, CHUNK_BYTES):
                self._file.write(data)
                self._file.flush()
                self._tell(len(data))
        except ValueError:
            return  # closed: the nodes are done, whatever else comes in
        except OSError as fault:
            error = f"standard input: {fault.strerror}"
        self._tell(0, ended=True, error=error)

    def _tell(self, count: int, *, ended: bool = False, error: str = "") -> None:
        def note() -> None:
            self._size_bytes += count
            self._ended, self._error = ended, error
            self._grown.set()
            self._grown = asyncio.Event()

        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(note)
