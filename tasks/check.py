"""Validate stack files and job templates, and say for each fault where it stands: file, line, key path."""

import collections.abc
import dataclasses
import pathlib
import re

import yaml

from components import backend
from components.errors import GaxxError, SettingsError

_CREDENTIAL = re.compile(r"(?i)(token|password|passphrase|secret|api_?key|access_?key|private_?key)$")
"""How keys of providers are called that hold one."""
_AUTHORITIES = ("authorityKey", "previousAuthorityKey")


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong; `line` is 1 where the fault is that something is missing altogether."""

    file: str
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        here = pathlib.Path.cwd()
        path = pathlib.Path(self.file)
        where = f"{path.relative_to(here) if path.is_relative_to(here) else path}:{self.line}: "
        return f"{where}{self.key}: {self.text}" if self.key else f"{where}{self.text}"


def job_files(root: pathlib.Path) -> list[pathlib.Path]:
    """Every job template of the project."""
    return sorted((root / "jobs").glob("*.yaml"))


def check_files(paths: collections.abc.Iterable[pathlib.Path], root: pathlib.Path) -> list[Fault]:
    """Validate each file; return all faults of all of them, in the order in which a reader meets them."""
    project = backend.project_name(root)
    return [fault for path in paths for fault in (_check_job(path) if is_job(path) else _check(path, project))]


def is_job(path: pathlib.Path) -> bool:
    """Whether a file is a job template, by where it lies."""
    return path.absolute().parent.name == "jobs"


def _check_job(path: pathlib.Path) -> list[Fault]:
    from tasks.work import job_template

    return [Fault(str(fault.path), fault.line, "", fault.text) for fault in job_template.check(path)]


def _check(path: pathlib.Path, project: str) -> list[Fault]:
    from components.settings import parse_settings

    name = re.fullmatch(r"Pulumi\.(.+)\.yaml", path.name)
    if name is None:
        return [Fault(str(path), 1, "", "a stack file is called Pulumi.<stack>.yaml")]
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"{path}: {reason}"
        raise GaxxError(message) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        return [Fault(str(path), mark.line + 1 if mark else 1, "", f"not YAML: {error.problem}")]
    except yaml.YAMLError as error:
        return [Fault(str(path), 1, "", f"not YAML: {error}")]
    config = data.get("config") if isinstance(data, dict) else None
    if not isinstance(config, dict):
        return [Fault(str(path), 1, "config", "a mapping of gaxx:… keys was expected")]
    prefix = f"{project}:"
    values = {str(key).removeprefix(prefix): value for key, value in config.items() if str(key).startswith(prefix)}
    faults = [
        Fault(str(path), line_of(tree, f"config.{key}"), key, what) for key, what in _plain_secrets(config, prefix)
    ]
    try:
        parse_settings(values, project=project, stack=name[1])
    except SettingsError as error:
        faults += [Fault(str(path), line_of(tree, f"config.{key}"), key, what) for key, what in error.faults]
    return sorted(faults, key=lambda fault: fault.line)


def _plain_secrets(
    config: collections.abc.Mapping[object, object], prefix: str
) -> collections.abc.Iterator[tuple[str, str]]:
    """Credentials of this project and of providers that are not encrypted; a reviewer would read them."""
    for key, value in config.items():
        name = str(key)
        if isinstance(value, str) and (name in {f"{prefix}{key}" for key in _AUTHORITIES} or _CREDENTIAL.search(name)):
            yield (
                name,
                f"a secret in plain; `pulumi config set --secret {name}` encrypts it (and this one is known now)",
            )


def line_of(tree: yaml.Node | None, key_path: str) -> int:
    """Return the line (from 1) of `config.gaxx:fleets[2].nodes` in a composed tree, or of what is nearest to it."""
    line, node, rest = 1, tree, key_path
    while rest and node is not None:
        found = _child(node, rest)
        if found is None:
            break
        line, node, rest = found
    return line


def _child(node: yaml.Node, path: str) -> tuple[int, yaml.Node, str] | None:
    """Take one step along `path`: the line, the node there, and the rest of the path."""
    step = re.match(r"\[(\d+)\]\.?", path)
    if isinstance(node, yaml.SequenceNode) and step and int(step[1]) < len(node.value):
        item: yaml.Node = node.value[int(step[1])]
        return item.start_mark.line + 1, item, path[step.end() :]
    if isinstance(node, yaml.MappingNode):
        pairs: list[tuple[yaml.Node, yaml.Node]] = node.value
        # Keys hold dots themselves (paths of files): the longest that fits is the one.
        fitting = [
            pair
            for pair in pairs
            if path == pair[0].value or path.startswith((f"{pair[0].value}.", f"{pair[0].value}["))
        ]
        if fitting:
            key, value = max(fitting, key=lambda pair: len(pair[0].value))
            return key.start_mark.line + 1, value, path[len(key.value) :].removeprefix(".")
    return None
