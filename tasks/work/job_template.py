"""Job templates: jobs/NAME.yaml, validated by jobs/schema.json with file and line, made into a run's options and input.

The schema is read by `jsonschema`, which is loaded only here.
"""

import collections.abc
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import pathlib
import re
import typing

import yaml

from components.errors import GaxxError
from tasks.work.errors import TemplateError
from tasks.work.options import MapOptions, SentFile

FOLDER = "jobs"
SCHEMA = pathlib.Path(__file__).parent.parent.parent / FOLDER / "schema.json"
SENT_LIMIT_BYTES = 32 * 1024 * 1024
"""Of all files of a job together: they travel with the first message to every node."""
_PARAM = re.compile(r"\$\{([a-z][a-z0-9_]*)\}")


class Fault(typing.NamedTuple):
    """One thing that is wrong with a template."""

    path: pathlib.Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


@dataclasses.dataclass(frozen=True, slots=True)
class Merge:
    """What becomes of the items' stdout."""

    type: str = "none"
    to: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """A template with its parameters filled in."""

    name: str
    description: str
    options: MapOptions
    merge: Merge
    items: collections.abc.Callable[[], collections.abc.Iterator[bytes]]
    """The lines of the input, without delimiters."""


def folder_of(root: pathlib.Path) -> pathlib.Path:
    """Where a project keeps its templates."""
    return root / FOLDER


def names(root: pathlib.Path) -> list[str]:
    """Name the project's templates."""
    return sorted(path.stem for path in folder_of(root).glob("*.yaml"))


def locate(name: str, root: pathlib.Path) -> pathlib.Path:
    """Find a template by name or path; raise TemplateError."""
    path = pathlib.Path(name)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        message = f"no job template {name}"
        raise TemplateError(message)
    path = folder_of(root) / f"{name}.yaml"
    if not path.is_file():
        message = f"no job is called {name!r} in {folder_of(root)}"
        raise TemplateError(message, hint=f"there are {', '.join(names(root)) or 'none'}")
    return path


def check(path: pathlib.Path) -> list[Fault]:
    """Return everything that is wrong with a template."""
    return _read(path)[1]


def load(
    path: pathlib.Path, given: collections.abc.Mapping[str, str] | None = None, *, output: str = "", nodes: str = ""
) -> Job:
    """Read a template and fill in its parameters; raise TemplateError with all its faults."""
    data, faults = _read(path)
    if faults:
        message = "; ".join(str(fault) for fault in faults)
        raise TemplateError(message)
    params = {name: _plain(value) for name, value in data.get("params", {}).items()}
    unknown = sorted(set(given or {}) - set(params))
    if unknown:
        message = f"{path}: no parameter {', '.join(unknown)}"
        raise TemplateError(message, hint=f"there are {', '.join(params) or 'none'}")
    filled = _filled(data, {**params, **(given or {})}, path)
    output = output or str(filled.get("output", "."))
    try:
        options = _options(filled, path, output, nodes)
    except GaxxError as error:
        message = f"{path}: {error.message}"
        raise type(error)(message, hint=error.hint) from error
    merge = filled.get("merge", {})
    return Job(
        name=path.stem,
        description=filled["description"],
        options=options,
        merge=Merge(merge.get("type", "none"), merge.get("to", "")),
        items=functools.partial(_items, filled["items"], path),
    )


def _read(path: pathlib.Path) -> tuple[dict[str, typing.Any], list[Fault]]:
    import jsonschema

    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return {}, [Fault(path, line, f"not YAML: {error.problem}")]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return {}, [Fault(path, 1, str(getattr(error, "strerror", None) or error))]
    validator = jsonschema.Draft202012Validator(schema())
    found = sorted(validator.iter_errors(data), key=lambda fault: [str(part) for part in fault.absolute_path])
    faults = [_fault(path, node, list(fault.absolute_path), fault.message) for fault in found]
    return (data if isinstance(data, dict) else {}), faults or _unknown_params(path, node, data)


@functools.cache
def schema() -> dict[str, typing.Any]:
    """The schema that templates are validated with."""
    loaded: dict[str, typing.Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return loaded


def _fault(path: pathlib.Path, node: yaml.Node | None, keys: list[str | int], text: str) -> Fault:
    line = node.start_mark.line + 1 if node else 1
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            entry = next(((name, value) for name, value in node.value if name.value == str(key)), None)
            if entry is None:
                break
            line, node = entry[0].start_mark.line + 1, entry[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int):
            node = node.value[key]
            line = node.start_mark.line + 1
    where = ".".join(str(key) for key in keys)
    return Fault(path, line, f"{where}: {text}" if where else text)


def _unknown_params(path: pathlib.Path, node: yaml.Node | None, data: typing.Any) -> list[Fault]:
    known = set(data.get("params", {}))
    faults: list[Fault] = []

    def walk(value: object, keys: list[str | int]) -> None:
        if isinstance(value, str):
            faults.extend(
                _fault(path, node, keys, f"${{{name}}} is not among params")
                for name in _PARAM.findall(value)
                if name not in known
            )
        elif isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, [*keys, key])
        elif isinstance(value, list):
            for place, inner in enumerate(value):
                walk(inner, [*keys, place])

    walk({key: value for key, value in data.items() if key != "params"}, [])
    return faults


def _filled(data: typing.Any, params: collections.abc.Mapping[str, str], path: pathlib.Path) -> typing.Any:
    if isinstance(data, str):
        return _PARAM.sub(lambda match: params[match[1]], data)
    if isinstance(data, dict):
        return {key: value if key == "params" else _filled(value, params, path) for key, value in data.items()}
    if isinstance(data, list):
        return [_filled(value, params, path) for value in data]
    return data


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _options(data: dict[str, typing.Any], path: pathlib.Path, output: str, nodes: str) -> MapOptions:
    merged = data.get("merge", {}).get("type", "none") != "none"
    return MapOptions(
        argv=tuple(os.fsencode(_plain(part)) for part in data["command"]),
        shell=data.get("shell", False),
        # Items of a job are made here, so they may hold newlines: names of files do.
        delimiter=b"\0",
        chunk=data.get("chunk", 1),
        env=tuple((name, os.fsencode(_plain(value))) for name, value in data.get("env", {}).items()),
        cwd="",
        isolate=data.get("isolate", False) or bool(data.get("send")),
        files=_files(data.get("files", []), path.parent),
        sends=tuple(map(os.fsencode, data.get("send", ()))),
        returns=tuple(map(os.fsencode, data.get("return", ()))),
        returns_to=output,
        attempts=data.get("attempts", 1),
        timeout=_plain(data.get("timeout", "")),
        halt=data.get("halt", "never"),
        slots=data.get("slots", 0),
        speculate=data.get("speculate", True),
        nodes=nodes,
        quiet_stdout=merged,
        merge=data.get("merge", {}).get("type", "none"),
        output=str(pathlib.Path(output) / data.get("merge", {}).get("to", "")) if merged else "",
        job=path.stem,
    )


def _files(paths: list[str], folder: pathlib.Path) -> tuple[SentFile, ...]:
    sent: list[SentFile] = []
    for path in paths:
        source = folder / path
        if pathlib.PurePath(path).is_absolute() or ".." in pathlib.PurePath(path).parts:
            message = f"files: {path} leads out of the template's folder"
            raise TemplateError(message)
        try:
            data = source.read_bytes()
            mode = source.stat().st_mode & 0o777
        except OSError as error:
            message = f"files: {source}: {error.strerror}"
            raise TemplateError(message) from error
        sha256 = hashlib.sha256(data).hexdigest()
        sent.append(SentFile(path, str(source.absolute()), sha256, len(data), mode))
    if sum(file.size_bytes for file in sent) > SENT_LIMIT_BYTES:
        message = f"files: together more than {SENT_LIMIT_BYTES >> 20} MiB"
        raise TemplateError(message, hint="`gaxx put` large files to the nodes first")
    return tuple(sent)


def _items(source: dict[str, typing.Any], path: pathlib.Path) -> collections.abc.Iterator[bytes]:
    if "lines" in source:
        yield from (os.fsencode(_plain(line)) for line in source["lines"])
    elif "file" in source:
        try:
            with pathlib.Path(source["file"]).open("rb") as file:
                for line in file:
                    yield line.removesuffix(b"\n")
        except OSError as error:
            message = f"{path}: items.file: {source['file']}: {error.strerror}"
            raise TemplateError(message) from error
    elif "glob" in source:
        yield from _glob(source["glob"], path)
    else:
        axes = [_axis(values, path) for values in source["matrix"].values()]
        yield from (b",".join(combination) for combination in itertools.product(*axes))


def _glob(pattern: str, path: pathlib.Path) -> collections.abc.Iterator[bytes]:
    if pathlib.PurePath(pattern).is_absolute() or ".." in pathlib.PurePath(pattern).parts:
        message = f"{path}: items.glob: {pattern}: a pattern below the current folder was expected"
        raise TemplateError(message)
    for found in sorted(pathlib.Path().glob(pattern)):
        if found.is_file():
            yield os.fsencode(found)


def _axis(values: typing.Any, path: pathlib.Path) -> list[bytes]:
    if isinstance(values, list):
        return [os.fsencode(_plain(value)) for value in values]
    count = str(values["count"])
    if not count.isdecimal():
        message = f"{path}: items.matrix: count: {count!r} is no number"
        raise TemplateError(message)
    return [b"%d" % number for number in range(int(count))]
