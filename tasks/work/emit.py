"""What a run prints while it goes: the items' outputs, grouped by item, or one JSON line an item."""

import base64
import collections.abc
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import struct
import sys
import typing

from tasks.work.commit import Answer
from tasks.work.errors import JournalError
from tasks.work.options import MapOptions
from tasks.work.results import ResultStore, Stored
from tasks.work.run_folder import RunFolder

EVENT_OUTPUT_BYTES = 64 * 1024
"""Of each stream in a JSON event; the rest is in the run's folder."""
_RECORD = struct.Struct("<?qQqQB")
"""Answered; where stdout and stderr are; attempt."""


Shown = typing.Literal["outputs", "events", "nothing"]
"""What stdout is for: the items' outputs, JSON events, or (in the background) nothing."""


class Printer:
    """Prints each item's stdout and stderr as it is answered, never mixed with another's."""

    wants_items = False

    def __init__(self, store: ResultStore, out: typing.BinaryIO, err: typing.BinaryIO) -> None:
        self._store = store
        self.out = out
        self.err = err

    def show(self, answers: collections.abc.Sequence[Answer]) -> None:
        """Print a batch; raise BrokenPipeError when the reader has gone."""
        outputs: list[bytes] = []
        for answer in answers:
            if answer.stdout_file:
                self._write(self.out, outputs)
                _copy(self._store.large(answer.stdout_file), self.out)
            else:
                outputs.append(answer.stdout)
        self._write(self.out, outputs)
        for answer in answers:
            if answer.stderr_file:
                _copy(self._store.large(answer.stderr_file), self.err)
            else:
                outputs.append(answer.stderr)
        self._write(self.err, outputs)

    def finish(self) -> None:
        """The run is over: print what waits."""

    def _write(self, file: typing.BinaryIO, outputs: list[bytes]) -> None:
        data = b"".join(outputs)
        outputs.clear()
        if data:
            file.write(data)
            file.flush()


class SilentPrinter(Printer):
    """Prints nothing: nobody watches."""

    def show(self, answers: collections.abc.Sequence[Answer]) -> None:
        """Leave the batch in the run's folder."""


class QuietPrinter(Printer):
    """Prints the items' stderr only: their stdout is put together at the end."""

    def show(self, answers: collections.abc.Sequence[Answer]) -> None:
        """Print a batch."""
        super().show([dataclasses.replace(answer, stdout=b"", stdout_file="") for answer in answers])


class OrderedPrinter(Printer):
    """Prints in the order of the input: what is early waits on disk, not in memory."""

    def __init__(self, store: ResultStore, out: typing.BinaryIO, err: typing.BinaryIO, path: pathlib.Path) -> None:
        super().__init__(store, out, err)
        self._records = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._next = 0

    def show(self, answers: collections.abc.Sequence[Answer]) -> None:
        """Note a batch, and print what is in turn."""
        for answer in answers:
            attempt = answer.attempt
            record = _RECORD.pack(True, *attempt.stdout, *attempt.stderr, attempt.attempt)
            os.pwrite(self._records, record, attempt.index * _RECORD.size)
        while self._print(self._next):
            self._next += 1

    def finish(self) -> None:
        """Print the rest in order, without the items that have no answer."""
        last = os.fstat(self._records).st_size // _RECORD.size
        for index in range(self._next, last):
            self._print(index)
        os.close(self._records)

    def _print(self, index: int) -> bool:
        data = os.pread(self._records, _RECORD.size, index * _RECORD.size)
        if len(data) < _RECORD.size or not data[0]:
            return False
        _, out_at, out_size, err_at, err_size, attempt = _RECORD.unpack(data)
        for file, stored, name in (
            (self.out, Stored(out_at, out_size), "stdout"),
            (self.err, Stored(err_at, err_size), "stderr"),
        ):
            if stored.offset < 0:
                _copy(self._store.large(f"{index}.{attempt}.{name}"), file)
            elif stored.length:
                file.write(self._store.read(stored))
                file.flush()
        return True


class JsonPrinter(Printer):
    """Prints one JSON line an item."""

    wants_items = True

    def __init__(self, store: ResultStore, out: typing.BinaryIO, run_id: str) -> None:
        super().__init__(store, out, out)
        self._run_id = run_id

    def show(self, answers: collections.abc.Sequence[Answer]) -> None:
        """Print a batch."""
        self._write(self.out, [self._line(answer) for answer in answers])

    def _line(self, answer: Answer) -> bytes:
        attempt = answer.attempt
        event: dict[str, object] = {
            "event": "item",
            "run": self._run_id,
            "index": attempt.index,
            **text_or_base64("item", answer.item[:EVENT_OUTPUT_BYTES]),
            "state": attempt.state,
            "class": attempt.kind,
            "exit": attempt.exit,
            "signal": attempt.signal,
            "node": attempt.node,
            "attempt": attempt.attempt,
            "wall_s": round(attempt.end - attempt.start, 6),
            **text_or_base64("stdout", answer.stdout[:EVENT_OUTPUT_BYTES]),
            **text_or_base64("stderr", answer.stderr[:EVENT_OUTPUT_BYTES]),
            "stdout_bytes": answer.stdout_bytes,
            "stderr_bytes": answer.stderr_bytes,
        }
        if attempt.cut:
            event["cut"] = True
        if attempt.error:
            event["error"] = attempt.error
        if attempt.files:
            event["files"] = [{"path": path, "size": size, "sha256": sha256} for path, size, sha256 in attempt.files]
        return json.dumps(event, ensure_ascii=False).encode() + b"\n"


class AsidePrinter(Printer):
    """Prints while the progress stands aside: both may be on one terminal."""

    def __init__(
        self,
        store: ResultStore,
        inner: Printer,
        aside: collections.abc.Callable[[], contextlib.AbstractContextManager[None]],
    ) -> None:
        super().__init__(store, inner.out, inner.err)
        self.wants_items = inner.wants_items
        self._inner = inner
        self._aside = aside

    def show(self, answers: collections.abc.Sequence[Answer]) -> None:
        """Print a batch."""
        with self._aside():
            self._inner.show(answers)

    def finish(self) -> None:
        """Print what waits."""
        self._inner.finish()


class FolderPrinter:
    """Writes each item's outputs into a folder of its own (`--results`), beside what another printer shows."""

    wants_items = True

    def __init__(self, store: ResultStore, inner: Printer) -> None:
        self._store = store
        self._inner = inner

    def show(self, answers: collections.abc.Sequence[Answer]) -> None:
        """Write the files, then show them."""
        for answer in answers:
            folder = self._store.item_folder(answer.attempt.index, answer.item)
            if folder is not None:
                self._write(folder / "stdout", answer.stdout, answer.stdout_file)
                self._write(folder / "stderr", answer.stderr, answer.stderr_file)
        self._inner.show(answers)

    def finish(self) -> None:
        """The run is over."""
        self._inner.finish()

    def _write(self, path: pathlib.Path, data: bytes, name: str) -> None:
        try:
            if name:
                shutil.copyfile(self._store.large(name), path)
            else:
                path.write_bytes(data)
        except OSError as error:
            message = f"--results: {path}: {error.strerror}"
            raise JournalError(message, hint="the outputs are in the run's folder; go on with --resume") from error


def text_or_base64(name: str, data: bytes) -> dict[str, str]:
    """Bytes in JSON: text where they are UTF-8, else base64 under another key."""
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode()}


def _copy(path: pathlib.Path, target: typing.BinaryIO) -> None:
    with path.open("rb") as source:
        shutil.copyfileobj(source, target, 1 << 20)
    target.flush()


def printer_for(
    shown: Shown,
    options: MapOptions,
    store: ResultStore,
    folder: RunFolder,
    aside: collections.abc.Callable[[], contextlib.AbstractContextManager[None]],
) -> Printer | FolderPrinter:
    """Choose how a run's answers are shown; `aside` keeps the progress away meanwhile."""
    out, err = sys.stdout.buffer, sys.stderr.buffer
    printer: Printer
    if shown == "nothing":
        printer = SilentPrinter(store, out, err)
    elif shown == "events":
        printer = JsonPrinter(store, out, folder.id)
    elif options.quiet_stdout:
        printer = QuietPrinter(store, out, err)
    elif options.keep_order:
        printer = OrderedPrinter(store, out, err, folder.path / "order")
    else:
        printer = Printer(store, out, err)
    printer = AsidePrinter(store, printer, aside)
    return FolderPrinter(store, printer) if options.results else printer
