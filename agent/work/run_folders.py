"""Where a run lies on a node: what was sent for it, what its items work in, what waits to be fetched."""

import errno
import os
import shutil
from pathlib import Path

from agent.proto import agent_pb2 as pb


class RunFolders:
    """The folders of one run: below the principal's home, where items see them, and the agent's own. Raises OSError."""

    def __init__(self, home: Path, own: Path, hello: pb.WorkRequest.Hello) -> None:
        self.home = home
        self.run = home / "runs" / hello.run_id
        """What was sent for the run; items without a folder of their own work here when no other is asked for."""
        self.own = own
        self._hello = hello

    def configure(self, hello: pb.WorkRequest.Hello) -> None:
        """Take a controller's wishes for the items to come, and what it sends for them."""
        self._hello = hello
        for file in hello.files:
            self.receive(file, self.run)

    def of_item(self, item: pb.Item) -> Path:
        """Where an item works: a folder of its own, or the one of all."""
        if self._hello.isolate:
            return self.run / tag(item)
        return self.home / os.fsdecode(self._hello.cwd) if self._hello.cwd else self.run

    def outputs(self, item: pb.Item | pb.ItemResult) -> Path:
        """Where the runner puts output that is too long for a result."""
        # Below the home because the runner writes it; kept where `gaxx get` finds it when the user wants it whole.
        kept = "outputs" if self._hello.keep_whole_output else ".outputs"
        return self.home / kept / self._hello.run_id / tag(item)

    def files(self, result: pb.ItemResult) -> Path:
        """Where returned files wait that are too large for a result."""
        return self.own / "files" / tag(result)

    def fetched(self, result: pb.ItemResult, name: bytes) -> Path:
        """Find an output or returned file by the name that the controller fetches it by. Raises KeyError."""
        if name in (b"stdout", b"stderr"):
            return self.outputs(result) / name.decode()
        for position, file in enumerate(result.files):
            if name == b"file:" + file.path:
                return self.files(result) / str(position)
        raise KeyError(name)

    def value_file(self, item: pb.Item) -> Path:
        """Where an item is written that no variable can hold."""
        return self.run / ".items" / tag(item)

    def prepare(self, item: pb.Item) -> Path:
        """Make ready what an item needs in its folder, and return that."""
        folder = self.of_item(item)
        if self._hello.isolate:
            self._link_sent(folder)
        for file in item.files:
            self.receive(file, folder)
        return folder

    def receive(self, file: pb.SentFile, folder: Path) -> None:
        """Put a file that was sent into a folder."""
        path = Path(os.fsdecode(file.path))
        if not path.parts or path.is_absolute() or ".." in path.parts:
            raise OSError(errno.EPERM, "leads out of the run's folder", str(path))
        self.place(folder / path, file.data, file.mode & 0o755 | 0o640)

    def place(self, path: Path, data: bytes, mode: int) -> None:
        """Write a file whole below the home, through no link that an item may have left."""
        path.parent.mkdir(mode=0o770, parents=True, exist_ok=True)
        if not path.parent.resolve().is_relative_to(self.home.resolve()):
            raise OSError(errno.ELOOP, "lies behind a symbolic link", str(path))
        part = path.with_name(f".{path.name}.part")
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            target.write(data)
            os.fchmod(descriptor, mode)
        part.replace(path)

    def drop(self, result: pb.ItemResult) -> None:
        """Remove what waited for a result that the controller has."""
        if any(not file.is_inline for file in result.files):
            remove(self.files(result))
        if result.output_held and not self._hello.keep_whole_output:
            remove(self.outputs(result))

    def remove(self) -> None:
        """Remove everything of the run but outputs that are to be kept."""
        remove(self.own)
        remove(self.run)
        remove(self.home / ".outputs" / self._hello.run_id)

    def _link_sent(self, folder: Path) -> None:
        """Let an item in a folder of its own see what was sent for the command."""
        for file in self._hello.files:
            path = folder / os.fsdecode(file.path)
            path.parent.mkdir(mode=0o770, parents=True, exist_ok=True)
            path.symlink_to(self.run / os.fsdecode(file.path))


def tag(item: pb.Item | pb.ItemResult) -> str:
    """Name an attempt in folders: unique in its run."""
    return f"{item.index}.{item.attempt}.{item.lease}"


def has_files(result: pb.ItemResult) -> bool:
    """Whether anything lies on disk for a result."""
    return result.output_held or any(not file.is_inline for file in result.files)


def remove(path: Path) -> None:
    """Remove a folder with all in it, as far as it goes."""
    shutil.rmtree(path, ignore_errors=True)
