"""Job templates and stack files, judged by the project's policy pack on what they say: `gaxx policy check`."""

import collections.abc
import dataclasses
import json
import pathlib
import subprocess
import sys
import typing

import yaml

from components import backend
from components.errors import GaxxError
from tasks import check
from tasks.review import declared, facts
from tasks.review.document import Json

VERSION = 1
_LIMIT_S = 120.0


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What a rule has against a file."""

    file: str
    line: int
    key: str
    rule: str
    """Empty: the file is wrong before any rule is asked."""
    level: str
    text: str
    fix: str

    def __str__(self) -> str:
        where = check.Fault(self.file, self.line, self.key, self.text)
        return f"{where} [{self.level} {self.rule}]" if self.rule else str(where)


def judge(paths: collections.abc.Iterable[pathlib.Path], root: pathlib.Path) -> list[Finding]:
    """Judge templates, stack files, and folders of either; raise GaxxError where there is no such file, or no pack."""
    if not (root / "policy" / "jobs.py").is_file():
        message = f"{root} holds no policy pack that can be asked (policy/jobs.py)"
        raise GaxxError(message)
    files = _files(paths)
    faults = check.check_files(files, root)
    wrong = {fault.file for fault in faults}
    right = [file for file in files if str(file) not in wrong]
    found = [Finding(f.file, f.line, f.key, "", "mandatory", f.text, "") for f in faults]
    found += _of_jobs([file for file in right if check.is_job(file)], root)
    for file in right:
        if not check.is_job(file):
            found += _of_stack(file, root)
    return sorted(found, key=lambda finding: (finding.file, finding.line, finding.rule, finding.text))


def _files(paths: collections.abc.Iterable[pathlib.Path]) -> list[pathlib.Path]:
    files: list[pathlib.Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.glob("*.yaml" if path.absolute().name == "jobs" else "Pulumi.*.yaml"))
            if not inside:
                message = f"{path} holds neither job templates nor stack files"
                raise GaxxError(message)
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            message = f"{path}: no such file"
            raise GaxxError(message)
    for file in files:
        # A link of a fork would have a job read, and quote, a file of whoever runs it.
        if file.is_symlink():
            message = f"{file}: a symbolic link; templates and stack files are files of the project"
            raise GaxxError(message)
        if declared.aliases(file) > declared.ALIASES_LIMIT:
            message = f"{file}: more than {declared.ALIASES_LIMIT} aliases (*name); write the values out"
            raise GaxxError(message)
    return list(dict.fromkeys(files))


def _of_jobs(files: collections.abc.Sequence[pathlib.Path], root: pathlib.Path) -> list[Finding]:
    if not files:
        return []
    texts = [file.read_text(encoding="utf-8") for file in files]
    parameters = root / "policy" / "parameters.json"
    configuration = json.loads(parameters.read_text(encoding="utf-8")) if parameters.is_file() else {}
    answer = _ask({"jobs": [yaml.safe_load(text) for text in texts], "configuration": configuration}, root)
    found = []
    for file, text, findings in zip(files, texts, answer["findings"], strict=True):
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        found += [Finding(file=str(file), line=check.line_of(tree, entry["key"]), **entry) for entry in findings]
    return found


def _ask(request: Json, root: pathlib.Path) -> Json:
    done = subprocess.run(
        [sys.executable, "-m", "policy.jobs"], cwd=root, input=json.dumps(request), capture_output=True, text=True,
        timeout=_LIMIT_S, check=False,
    )  # fmt: skip
    answer: typing.Any = json.loads(done.stdout) if done.returncode == 0 else {}
    if answer.get("version") != VERSION:
        said = done.stderr.strip().splitlines()
        message = f"the policy pack gave no answer: {said[-1] if said else 'it is of another version'}"
        raise GaxxError(message)
    return typing.cast("Json", answer)


def _of_stack(file: pathlib.Path, root: pathlib.Path) -> list[Finding]:
    stack = file.name.removeprefix("Pulumi.").removesuffix(".yaml")
    document = declared.faultless(file, project=backend.project_name(root), stack=stack, commit="")
    known = facts.ask(document, root)
    told: dict[tuple[str, str, str], None] = {}
    for violation in known.violations:
        # What is not known before an update is no fault of the file.
        if violation["rule"] != "user-data-judged-later":
            told[violation["rule"], violation["level"], violation["text"]] = None
    return [Finding(str(file), 1, "", rule, level, text, known.fixes.get(rule, "")) for rule, level, text in told]
