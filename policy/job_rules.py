"""Job templates: what a shell sees, which files are touched, what limits are declared, what nobody may hold.

A rule here is a pure predicate on a template as YAML reads it; each finding names the key that is wrong.
"""

import dataclasses
import pathlib
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping

from policy import credentials
from policy.rule import Level, Parameter, Settings, number

Job = Mapping[str, typing.Any]
Found = tuple[str, str]
"""The key path, and what is wrong."""

_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"})
_PARAMETER = re.compile(r"\$\{[a-z][a-z0-9_]*\}")
_PLACEHOLDER = re.compile(r"\{(?:|\.|/|//|/\.|#)\}")
_DOWNLOAD = re.compile(r"\b(?:curl|wget)\b[^\n;&]*\|\s*(?:sudo\s+)?(?:\S*/)?(?:ba|da|z|k)?sh\b")
_EVAL = re.compile(r"(?:^|[;&|\n(`]|\$\()\s*(?:eval|source|\.)\s+[\"']?\$")
_PRIVILEGE = frozenset({"sudo", "su", "doas", "pkexec", "runuser", "setpriv", "nsenter", "chroot"})
_DESTROYS = re.compile(r"\brm\s+(?:-\w*\s+)*-\w*[rR]\w*\s+(?:-\S+\s+)*(?:/|~|\$HOME|/\*)(?:\s|$)")


@dataclasses.dataclass(frozen=True, slots=True)
class JobRule:
    """A rule about one template."""

    name: str
    level: Level
    protects: str
    """What would be lost without it; one sentence without a full stop."""
    fix: str
    judge: Callable[[Job, Settings], Iterable[Found]]
    parameters: Mapping[str, Parameter] = dataclasses.field(default_factory=dict)

    def settings(self, given: Mapping[str, typing.Any]) -> Settings:
        """Parameters with their defaults where none is given."""
        return {name: given.get(name, parameter.default) for name, parameter in self.parameters.items()}


def items_are_data(job: Job, settings: Settings) -> Iterable[Found]:
    """No item and no parameter becomes part of a script: a file called `$(reboot)` would be executed."""
    del settings
    for key, script, quoted in scripts(job):
        told = [] if quoted else _PLACEHOLDER.findall(script)
        told += _PARAMETER.findall(script)
        if told:
            yield key, f"{', '.join(dict.fromkeys(told))} would be read by the shell as part of the script"
        if _EVAL.search(script):
            yield key, "evaluates what a variable holds"


def no_code_from_elsewhere(job: Job, settings: Settings) -> Iterable[Found]:
    """What runs is what was reviewed."""
    del settings
    for key, script, _ in scripts(job):
        if _DOWNLOAD.search(script):
            yield key, "feeds a download to a shell"


def files_stay_inside(job: Job, settings: Settings) -> Iterable[Found]:
    """Files travel from and to the folder of the work, and nowhere else."""
    del settings
    for key in ("files", "send", "return"):
        for index, path in enumerate(_texts(job.get(key))):
            if fault := _outside(path):
                yield f"{key}[{index}]", f"{path} {fault}"
    items, merge = job.get("items"), job.get("merge")
    sources: tuple[tuple[str, object], ...] = (
        ("output", job.get("output")),
        ("merge.to", merge.get("to") if isinstance(merge, dict) else None),
        ("items.file", items.get("file") if isinstance(items, dict) else None),
        ("items.glob", items.get("glob") if isinstance(items, dict) else None),
    )
    for key, value in sources:
        # ${tree}/… starts where its parameter says, which is the user's to give.
        if isinstance(value, str) and (fault := _outside(value)):
            yield key, f"{value} {fault}"
    for key, script, _ in scripts(job):
        if _DESTROYS.search(script):
            yield key, "removes a whole tree that is not the work's"


def no_privilege(job: Job, settings: Settings) -> Iterable[Found]:
    """Items run as a user that may do nothing else."""
    del settings
    words = _texts(job.get("command"))
    if words and pathlib.PurePosixPath(words[0]).name in _PRIVILEGE:
        yield "command[0]", f"{words[0]} asks for rights that items do not have"
    for key, script, _ in scripts(job):
        for word in dict.fromkeys(re.findall(r"(?:^|[;&|\n(]|\bthen\b|\bdo\b)\s*([a-z]+)\b", script)):
            if word in _PRIVILEGE:
                yield key, f"{word} asks for rights that items do not have"


def no_credentials(job: Job, settings: Settings) -> Iterable[Found]:
    """Everybody who reviews a template reads it, and every node holds it."""
    del settings
    for key, text in _strings(job):
        if found := credentials.recognise(text):
            yield key, f"holds {found}"
    for name, value in _mapping(job.get("env")).items():
        if isinstance(value, str) and not _PARAMETER.fullmatch(value) and credentials.is_assigned(str(name), value):
            yield f"env.{name}", "is called like a credential, and holds one"


def limits_declared(job: Job, settings: Settings) -> Iterable[Found]:
    """An item that hangs, or fails for ever, ends."""
    if "timeout" not in job:
        yield "command", "no timeout is declared: an item that hangs holds its place until the machine ends"
    attempts = job.get("attempts", 1)
    if isinstance(attempts, int) and attempts > settings["attempts"]:
        yield "attempts", f"{attempts} attempts, and {settings['attempts']:g} is the limit"
    slots = job.get("slots", 0)
    if isinstance(slots, int) and slots > settings["slots"]:
        yield "slots", f"{slots} items at once on a node, and {settings['slots']:g} is the limit"


def scripts(job: Job) -> Iterator[tuple[str, str, bool]]:
    """Every text that a shell reads, with its key and whether placeholders in it are quoted for the shell."""
    words = _texts(job.get("command"))
    if job.get("shell") is True:
        yield "command", " ".join(words), True
        return
    for index, word in enumerate(words[:-1]):
        if pathlib.PurePosixPath(word).name in _SHELLS:
            for option in range(index + 1, len(words) - 1):
                if not words[option].startswith("-"):
                    break
                if re.fullmatch(r"-[a-z]*c[a-z]*", words[option]):
                    yield f"command[{option + 1}]", words[option + 1], False
                    break


def _outside(path: str) -> str:
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:\\", path):
        return "is not below the folder of the work"
    return "leads out of the folder of the work" if ".." in path.replace("\\", "/").split("/") else ""


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [value] if isinstance(value, str) else []


def _mapping(value: object) -> Mapping[object, object]:
    return value if isinstance(value, dict) else {}


def _strings(value: object, key: str = "") -> Iterator[Found]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _strings(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, f"{key}[{index}]")
    elif isinstance(value, str):
        yield key, value


RULES = (
    JobRule(
        "job-items-are-data",
        "mandatory",
        "a file's name or a line of input is never executed",
        'hand it over as an argument: [sh, -c, \'cmd "$1"\', sh, "{}"], or use shell: true, which quotes placeholders',
        items_are_data,
    ),
    JobRule(
        "job-code-reviewed",
        "mandatory",
        "what runs is what was reviewed",
        "commit the script and list it under files, or declare the package in the stack file",
        no_code_from_elsewhere,
    ),
    JobRule(
        "job-files-inside",
        "mandatory",
        "a template reads and writes nothing of the user's but the work",
        "name paths below the current folder",
        files_stay_inside,
    ),
    JobRule(
        "job-no-privilege",
        "mandatory",
        "items do not become root",
        "declare what needs root in the stack file (packages, files), where it is reviewed",
        no_privilege,
    ),
    JobRule(
        "job-no-credentials",
        "mandatory",
        "everybody who reviews a template reads it, and every node holds it",
        "let the work fetch it from a secrets manager, or send a file with `gaxx put`",
        no_credentials,
    ),
    JobRule(
        "job-limits-declared",
        "advisory",
        "what hangs or fails for ever ends by itself",
        "set timeout (90, 5m or 300% of the median), and few attempts",
        limits_declared,
        {"attempts": number("The most attempts of an item.", 10), "slots": number("The most items at once.", 256)},
    ),
)
