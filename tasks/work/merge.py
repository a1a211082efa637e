"""Put the items' outputs together, in the order of the input, by what they are: text, JSON lines, CSV, a folder.

A target is written beside and renamed; one that exists is kept under another name. What does not fit is said with the
item that it comes from, and nothing is thrown away: the outputs stay in the run's folder.
"""

import collections.abc
import csv
import io
import json
import os
import pathlib
import struct
import tempfile
import time
import typing

from tasks.work.errors import JournalError, TemplateError
from tasks.work.journal import Fold
from tasks.work.results import ResultStore, Stored
from tasks.work.states import State

_PLACE = struct.Struct("<qqB")
Outputs = collections.abc.Iterator[tuple[int, bytes]]
"""Index and stdout of each item that is ok, in the order of the input."""


def merge(kind: str, outputs: Outputs, target: pathlib.Path) -> int:
    """Write `target` from the outputs and return how many there were; raise TemplateError, JournalError."""
    writers: dict[str, collections.abc.Callable[[Outputs, typing.BinaryIO], int]] = {
        "text": _text,
        "jsonl": _jsonl,
        "csv": _csv,
    }
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _keep_old(target)
        if kind == "directory":
            return _directory(outputs, target)
        with temporary.open("wb") as file:
            count = writers[kind](outputs, file)
        temporary.replace(target)
    except OSError as error:
        message = f"the outputs cannot be merged: {error.filename or target}: {error.strerror}"
        raise JournalError(message, hint="they are still in the run's folder") from error
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _keep_old(target: pathlib.Path) -> None:
    if target.exists():
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(target.stat().st_mtime))
        kept = target.with_name(f"{target.stem}.{stamp}{target.suffix}")
        number = 1
        while kept.exists():
            number += 1
            kept = target.with_name(f"{target.stem}.{stamp}-{number}{target.suffix}")
        target.rename(kept)


def _text(outputs: Outputs, file: typing.BinaryIO) -> int:
    count = 0
    for _, data in outputs:
        count += 1
        file.write(data)
        if data and not data.endswith(b"\n"):
            file.write(b"\n")
    return count


def _jsonl(outputs: Outputs, file: typing.BinaryIO) -> int:
    count = 0
    for index, data in outputs:
        count += 1
        for number, line in enumerate(data.splitlines(), 1):
            if not line.strip():
                continue
            try:
                json.loads(line)
            except ValueError as error:
                message = f"item {index + 1}, line {number} of its output is not JSON: {error}"
                raise TemplateError(message, hint="the outputs are still in the run's folder") from error
            file.write(line + b"\n")
    return count


def _csv(outputs: Outputs, file: typing.BinaryIO) -> int:
    header: list[str] | None = None
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    count = 0
    for index, data in outputs:
        count += 1
        try:
            rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
        except (csv.Error, UnicodeDecodeError) as error:
            message = f"the output of item {index + 1} is not CSV: {error}"
            raise TemplateError(message, hint="the outputs are still in the run's folder") from error
        if not rows:
            continue
        if header is None:
            header = rows[0]
            writer.writerow(header)
        elif rows[0] != header:
            message = f"the output of item {index + 1} has another header: {','.join(rows[0])}"
            raise TemplateError(message, hint=f"the first was {','.join(header)}")
        writer.writerows(rows[1:])
    text.flush()
    text.detach()
    return count


def _directory(outputs: Outputs, target: pathlib.Path) -> int:
    target.mkdir()
    count = 0
    for index, data in outputs:
        count += 1
        (target / str(index + 1)).write_bytes(data)
    return count


def outputs_of(
    journal_records: collections.abc.Iterable[dict[str, typing.Any]], fold: Fold, store: ResultStore
) -> Outputs:
    """Read the stdout of every item that is ok, by its line in the journal; in the order of the input."""
    # A file of equal records and not a dict: there may be millions.
    with tempfile.TemporaryFile() as places:
        for record in journal_records:
            match record:
                case {"event": "ready"}:
                    places.truncate(0)
                case {"event": "carried", "items": carried, "stdout": outputs}:
                    for (index, _, attempt, _), output in zip(carried, outputs, strict=True):
                        _note(places, index, output, attempt)
                case {"state": "ok", "index": index, "attempt": attempt}:
                    _note(places, index, record.get("stdout", (0, 0)), attempt)
        for index, state in enumerate(fold.states):
            places.seek(index * _PLACE.size)
            data = places.read(_PLACE.size)
            if state == State.OK and len(data) == _PLACE.size:
                offset, length, attempt = _PLACE.unpack(data)
                yield index, store.read(Stored(offset, length), f"{index}.{attempt}.stdout") if length else b""


def _note(places: typing.BinaryIO, index: int, output: tuple[int, int], attempt: int) -> None:
    places.seek(index * _PLACE.size)
    places.write(_PLACE.pack(*output, attempt))
