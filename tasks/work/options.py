"""What a run is asked to do, fixed when it begins, kept in its manifest, compared when it is resumed."""

import base64
import collections.abc
import dataclasses
import hashlib
import json
import typing

from tasks.work import shell
from tasks.work.durations import TimeLimit
from tasks.work.errors import TemplateError
from tasks.work.halting import HaltPolicy
from tasks.work.placeholders import PLACEHOLDER, Template, fill

OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024
LEASE_S = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class SentFile:
    """A file that the nodes need for the command; `path` is where it lies in the run's folder there."""

    path: str
    source: str
    sha256: str
    size_bytes: int
    mode: int


@dataclasses.dataclass(frozen=True, slots=True)
class MapOptions:
    """A run as its user wrote it."""

    argv: tuple[bytes, ...]
    shell: bool = False
    delimiter: bytes = b"\n"
    chunk: int = 1
    env: tuple[tuple[str, bytes], ...] = ()
    """The declared environment of the items, beside what the nodes set."""
    cwd: str = "."
    """Below the operator's work folder on the nodes; "" is the run's own folder there."""
    isolate: bool = False
    files: tuple[SentFile, ...] = ()
    sends: tuple[bytes, ...] = ()
    """Files that travel with each item, placeholders not yet filled in; relative to our current folder."""
    returns: tuple[bytes, ...] = ()
    """Globs of files to bring back, placeholders not yet filled in."""
    attempts: int = 1
    timeout: str = ""
    halt: str = "never"
    shuffle: str | None = None
    keep_order: bool = False
    keep_whole_output: bool = False
    output_limit_bytes: int = OUTPUT_LIMIT_BYTES
    results: str = ""
    """Folder for one folder an item with its outputs; "" is none."""
    returns_to: str = "."
    slots: int = 0
    """Items at once on a node; 0 is the node's own."""
    lease_s: float = LEASE_S
    rate: float = 0.0
    """Items a second over the whole fleet; 0 is unbounded."""
    canary: int = 0
    max_cost: float = 0.0
    """Dollars; 0 is unbounded."""
    speculate: bool = True
    nodes: str = ""
    """Which nodes, as the user wrote it; all when empty."""
    quiet_stdout: bool = False
    """The items' stdout is for merging, not for the terminal."""
    merge: str = "none"
    """none, text, jsonl, csv or directory: what the items' stdout is put together to, at `output`."""
    output: str = ""
    job: str = ""

    def __post_init__(self) -> None:
        """Refuse now what could only fail later: an unquotable shell, a limit that means nothing."""
        if not self.shell:
            shell.guard(self.argv)
        self.template  # noqa: B018 - it may raise
        if self.sends and not self.isolate:
            message = "files travel only with items that have folders of their own (--isolate)"
            raise TemplateError(message)
        TimeLimit.parse(self.timeout) if self.timeout else None
        HaltPolicy.parse(self.halt)

    @property
    def template(self) -> Template:
        """The command of each item."""
        argv = shell.quoted(self.argv) if self.shell else self.argv
        return Template(argv, lines_delimiter=self.delimiter if self.chunk > 1 else b"")

    @property
    def time_limit(self) -> TimeLimit:
        """How long an item may take."""
        return TimeLimit.parse(self.timeout) if self.timeout else TimeLimit()

    @property
    def common_returns(self) -> tuple[bytes, ...]:
        """Globs that are the same for all items."""
        return tuple(glob for glob in self.returns if not PLACEHOLDER.search(glob))

    def own_returns(self, item: bytes, index: int) -> list[bytes]:
        """Globs of one item: what comes from the item stands for itself, whatever characters it has."""
        globs = [glob for glob in self.returns if PLACEHOLDER.search(glob)]
        return [_filled(glob, line, index, _literal) for glob in globs for line in self._lines(item)]

    def own_sends(self, item: bytes, index: int) -> list[bytes]:
        """Paths of the files that travel with one item."""
        paths = [_filled(path, line, index, bytes) for path in self.sends for line in self._lines(item)]
        return list(dict.fromkeys(paths))

    def _lines(self, item: bytes) -> list[bytes]:
        return item.split(self.delimiter) if self.chunk > 1 else [item]

    @property
    def returns_collide(self) -> bool:
        """Whether two items may return files of one name, so that each needs a folder of its own here."""
        return bool(self.common_returns)

    @property
    def identity(self) -> str:
        """sha256 of what an item's outcome depends on: command, files, declared environment, how items are cut."""
        parts: list[object] = [
            [_text(part) for part in self.argv], self.shell, _text(self.delimiter), self.chunk,
            sorted((name, _text(value)) for name, value in self.env), self.cwd, self.isolate,
            sorted((file.path, file.sha256, file.mode) for file in self.files), [_text(glob) for glob in self.returns],
            [_text(path) for path in self.sends],
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def as_dict(self) -> dict[str, typing.Any]:
        """Write it down for the manifest."""
        data = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        data["argv"] = [_text(part) for part in self.argv]
        data["returns"] = [_text(glob) for glob in self.returns]
        data["sends"] = [_text(path) for path in self.sends]
        data["delimiter"] = _text(self.delimiter)
        data["env"] = {name: _text(value) for name, value in self.env}
        data["files"] = [dataclasses.asdict(file) for file in self.files]
        return data

    @classmethod
    def from_dict(cls, data: collections.abc.Mapping[str, typing.Any]) -> "MapOptions":
        """Read it back; raise KeyError, TypeError or ValueError when it is something else."""
        fields = dict(data)
        fields["argv"] = tuple(_bytes(part) for part in data["argv"])
        fields["returns"] = tuple(_bytes(glob) for glob in data["returns"])
        fields["sends"] = tuple(_bytes(path) for path in data["sends"])
        fields["delimiter"] = _bytes(data["delimiter"])
        fields["env"] = tuple((name, _bytes(value)) for name, value in data["env"].items())
        fields["files"] = tuple(SentFile(**file) for file in data["files"])
        return cls(**fields)


def _filled(pattern: bytes, item: bytes, index: int, written: collections.abc.Callable[[bytes], bytes]) -> bytes:
    return PLACEHOLDER.sub(lambda match: written(fill(match.group(), item, index + 1)), pattern)


def _literal(part: bytes) -> bytes:
    for magic in (b"[", b"*", b"?"):
        part = part.replace(magic, b"[" + magic + b"]") if magic != b"[" else part.replace(b"[", b"[[]")
    return part


def _text(data: bytes) -> str:
    """Bytes as JSON can hold them: UTF-8 where they are, else marked and in base64."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(data).decode()
    return "base64:" + base64.b64encode(data).decode() if text.startswith("base64:") else text


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.removeprefix("base64:")) if text.startswith("base64:") else text.encode()
