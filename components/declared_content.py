"""What a fleet declares for its nodes to hold: files and environment, both readable by every reviewer."""

import dataclasses
import re

from components import secret_shapes
from components.settings_reader import Reader, shown

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MODE = re.compile(r"0?[0-7]{3}")
_VALUE_LIMIT_BYTES = 32 * 1024
_FILE_LIMIT_BYTES = 256 * 1024
_GUARDED = (
    "/boot",
    "/dev",
    "/etc/cloud",
    "/etc/gaxx",
    "/etc/nftables.conf",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/ssh",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/systemd",
    "/opt/gaxx",
    "/proc",
    "/root",
    "/run",
    "/sys",
    "/usr/local/sbin",
    "/var/lib/cloud",
    "/var/lib/gaxx",
)


@dataclasses.dataclass(frozen=True, slots=True)
class FileSpec:
    """A file that enrolment puts on every node."""

    path: str
    content: str
    mode: str
    """Octal, four digits: "0644"."""


def read_env(entry: Reader) -> dict[str, str]:
    """Read the environment that every item gets; faults are noted in the reader."""
    result: dict[str, str] = {}
    for name, value in sorted(entry.mapping("env").items()):
        path = f"env.{name}"
        if not _VARIABLE.fullmatch(name):
            entry.add(path, f"{shown(name)} is not a variable's name; letters, digits and _ make one")
        elif name.startswith("GAXX_"):
            entry.add(path, "GAXX_ variables are set by Gaxx; another name is free")
        elif name in secret_shapes.CONTROLLER_VARIABLES:
            entry.add(path, "this credential belongs to the controller; a node never gets it")
        elif isinstance(value, bool | list | dict) or value is None:
            entry.add(path, "a text was expected; quote the value")
        else:
            text = f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)
            fault = _content_fault(text, _VALUE_LIMIT_BYTES)
            if fault:
                entry.add(path, fault)
            result[name] = text
    return result


def read_files(entry: Reader) -> tuple[FileSpec, ...]:
    """Read the files, sorted by path; faults are noted in the reader."""
    result = []
    for path, value in sorted(entry.mapping("files").items()):
        key = f"files.{path}"
        fault = _path_fault(path)
        if fault:
            entry.add(key, fault)
        if isinstance(value, str):
            value = {"content": value}  # noqa: PLW2901 - the short form of the same thing
        if not isinstance(value, dict):
            entry.add(key, "a text, or {content, mode}, was expected")
            continue
        spec = Reader({str(name): item for name, item in value.items()}, entry.faults, entry.at(key))
        spec.refuse_unknown(("content", "mode"))
        content = value.get("content")
        if not isinstance(content, str):
            spec.add("content", "a text was expected")
            content = ""
        fault = _content_fault(content, _FILE_LIMIT_BYTES)
        if fault:
            spec.add("content", fault)
        result.append(FileSpec(path=path, content=content, mode=_mode(spec)))
    return tuple(result)


def _mode(spec: Reader) -> str:
    mode = spec.values.get("mode", "0644")
    if not isinstance(mode, str) or not _MODE.fullmatch(mode):
        spec.add("mode", f'{shown(mode)} is not a file mode; "0644" in quotes is (YAML reads a bare one as a number)')
    elif int(mode, 8) & 0o002:
        spec.add("mode", f"{mode} lets everybody write; 0644 does not")
    else:
        return mode.rjust(4, "0")
    return "0644"


def _path_fault(path: str) -> str:
    parts = path.split("/")
    if not path.startswith("/") or "\0" in path:
        return "not an absolute path; /srv/app.conf would be"
    if ".." in parts or "." in parts or "" in parts[1:]:
        return "not a plain path; without .., . and double or trailing / it would be"
    guarded = next((p for p in _GUARDED if path == p or path.startswith(f"{p}/")), "")
    return f"{guarded} belongs to the system or to Gaxx; /srv, /opt or /etc/<your program> is free" if guarded else ""


def _content_fault(text: str, limit_bytes: int) -> str:
    secret = secret_shapes.recognise(text)
    if secret:
        return f"holds {secret}; a declaration is readable by everyone who reviews it, so secrets cannot be in it"
    if "\0" in text:
        return "holds a zero byte"
    size = len(text.encode())
    return f"{size} bytes; {limit_bytes} is the limit (`gaxx put` sends more)" if size > limit_bytes else ""
