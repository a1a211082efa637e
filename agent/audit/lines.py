r"""What becomes a line of the audit trail: who did what, never a secret, never what a command was told or said.

A command is named by its program, the number of its words, and the sha256 of them (each ended by a NUL, as
`printf '%s\0' …` writes them): words may hold passwords.
"""

import datetime as dt
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from agent.proto import agent_pb2 as pb

Kind = Literal["chain", "gap", "agent", "settings", "connection", "refused", "command", "run", "item", "file", "ssh"]
"""What a line is about; a closed set, by which readers filter."""

_LONGEST = 400
"""Characters of one value: names and reasons come from outside."""
_MOST = 64
"""Values of one list."""


class Entry(Protocol):
    """Something that became known at one moment, worth one line or more."""

    @property
    def unix_s(self) -> float:
        """When."""

    def bodies(self) -> Iterator[str]:
        """Yield the fields of each line, as JSON without its braces."""


class Record(NamedTuple):
    """One line."""

    unix_s: float
    kind: Kind
    fields: Mapping[str, object]

    def bodies(self) -> Iterator[str]:
        """Yield the fields."""
        fields = {name: _bounded(value) for name, value in self.fields.items()}
        yield json.dumps({"kind": self.kind, **fields}, separators=(",", ":"))[1:-1]


class ItemsStarted(NamedTuple):
    """Items that a controller has leased to this node."""

    unix_s: float
    run: str
    principal: str
    items: Sequence[pb.Item]

    def bodies(self) -> Iterator[str]:
        """Yield a line an item. There are thousands, nearly equal: what is the same is written once."""
        same = f'"kind":"item","event":"start","run":{json.dumps(self.run)},"principal":{json.dumps(self.principal)}'
        for item in self.items:
            argv = item.argv
            yield (
                f'{same},"index":{item.index},"attempt":{item.attempt},"program":{json.dumps(program(argv))},'
                f'"words":{len(argv)},"argv_sha256":"{argv_sha256(argv)}"'
            )


@dataclass(frozen=True, slots=True)
class ItemEnd:
    """How one item ended, and whose it was."""

    principal: str
    index: int
    attempt: int
    exit: pb.Exit


class ItemsEnded(NamedTuple):
    """Items of one run that have ended, however."""

    unix_s: float
    run: str
    items: Sequence[ItemEnd]

    def bodies(self) -> Iterator[str]:
        """Yield a line an item."""
        run = json.dumps(self.run)
        for item in self.items:
            ended = item.exit
            yield (
                f'"kind":"item","event":"end","run":{run},"principal":{json.dumps(item.principal)},'
                f'"index":{item.index},"attempt":{item.attempt},"ending":"{pb.Ending.Name(ended.ending).lower()}",'
                f'"exit_code":{ended.exit_code},"signal":{ended.signal},"wall_s":{ended.wall_s:.3f}'
            )


def program(argv: Sequence[bytes]) -> str:
    """Name what is executed, as far as it can be written."""
    return text(argv[0])[:_LONGEST] if argv else ""


def argv_sha256(argv: Sequence[bytes]) -> str:
    """Name the words of a command without telling them."""
    return hashlib.sha256(b"\0".join((*argv, b""))).hexdigest()


def command(argv: Sequence[bytes]) -> dict[str, object]:
    """Return the fields that stand for a command."""
    return {"program": program(argv), "words": len(argv), "argv_sha256": argv_sha256(argv)}


def text(name: str | bytes) -> str:
    """Return a name of the file system's as text that any encoding takes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def stamp(unix_s: float) -> str:
    """Write a moment as RFC 3339 in UTC, to the millisecond."""
    return dt.datetime.fromtimestamp(unix_s, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _bounded(value: object) -> object:
    if isinstance(value, str):
        # A lone surrogate could be written in JSON and be read by few.
        whole = value.encode("utf-8", "backslashreplace").decode()
        return whole if len(whole) <= _LONGEST else f"{whole[:_LONGEST]}…"
    if isinstance(value, list | tuple):
        return [_bounded(one) for one in value[:_MOST]]
    if isinstance(value, dict):
        return {str(name): _bounded(one) for name, one in value.items()}
    return value
