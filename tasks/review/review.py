"""A review: base and head are gathered, and judged by the base.

base commit ─► worktree ─► preview ─┐
head        ─► worktree ─► preview ─┴► documents ─► python -m tasks.review, in the base's worktree ─► comment
"""

import collections.abc
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import pathlib
import re
import subprocess
import sys

from components import backend
from components.errors import GaxxError
from tasks import inventory, private, stack_files
from tasks.review import declared, orphans, plan, preview, repository, template_page
from tasks.review.document import VERSION, Document, Json, Mode, from_json
from tasks.review.judge import VERSION as JUDGE_VERSION
from tasks.review.repository import Commit, Repository
from tasks.updates import deploy

_JUDGE_LIMIT_S = 300.0
_CODE = ("__main__.py", "Pulumi.yaml", "agent/", "components/", "policy/", "pyproject.toml", "tasks/", "uv.lock")
"""What a stack is made of besides its stack file."""
_STACK = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_HERE = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be reviewed, and how it is told."""

    base: str = ""
    """Empty: the branch that changes are proposed to."""
    head: str = ""
    """Empty: what lies in the folder."""
    stacks: tuple[str, ...] = ()
    """Empty: those that differ."""
    format: str = "markdown"
    static: bool = False
    use_state: bool = False
    """Ask the engine what it would do to the stack as it stands; needs login and secrets."""
    save_plan: pathlib.Path | None = None
    """Where the engine's plan goes, with a record of what it is of; of one stack, as it stands."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reviewed:
    """The answer about one stack."""

    stack: str
    exit_code: int
    text: str
    model: Json | None


@dataclasses.dataclass(frozen=True, slots=True)
class _Side:
    """A commit, and the project as it has it."""

    commit: Commit
    name: str
    project: pathlib.Path

    def stack_file(self, stack: str) -> pathlib.Path:
        return stack_files.path_of(self.project, stack)


def review(root: pathlib.Path, wishes: Wishes) -> list[Reviewed]:
    """Review each stack that is asked for, or that differs; raise GaxxError."""
    if wishes.save_plan is not None:
        return [_planned(root, wishes, wishes.save_plan)]
    return _reviews(root, wishes)


def _planned(root: pathlib.Path, wishes: Wishes, file: pathlib.Path) -> Reviewed:
    """Review a stack as it stands, and keep the plan where nothing refused it."""
    if len(wishes.stacks) > 1 or wishes.head or wishes.static:
        message = "a plan is of one stack, and of what lies in this folder"
        raise GaxxError(message, hint="leave --head and --static out, and give --stack once")
    plan.require_clean(root, file)
    stack = inventory.stack_named("".join(wishes.stacks), start=root)
    state = plan.state_version(stack)
    for path in (file, plan.record_of(file)):
        path.unlink(missing_ok=True)
    (reviewed,) = _reviews(root, dataclasses.replace(wishes, stacks=(stack.name,), use_state=True))
    if reviewed.exit_code == 0:
        plan.write_record(file, stack, state)
    else:
        file.unlink(missing_ok=True)
    return reviewed


def _reviews(root: pathlib.Path, wishes: Wishes) -> list[Reviewed]:
    repo = repository.find(root)
    base = repo.commit(wishes.base or repo.default_base())
    with contextlib.ExitStack() as stack:
        if wishes.head:
            head = repo.commit(wishes.head)
            folder = stack.enter_context(repo.checked_out(head))
        else:
            own = (wishes.save_plan, plan.record_of(wishes.save_plan)) if wishes.save_plan else ()
            head, folder = repo.working_tree(own), repo.project
        before = _Side(base, base.short, stack.enter_context(repo.checked_out(base)))
        after = _Side(head, head.short, folder)
        changed = repo.changed(base, head)
        notes = _notes(repo, base, head, changed)
        names = wishes.stacks or _stacks(before, after, changed)
        for name in names:
            if not _STACK.fullmatch(name):
                # It would stand in the comment's first line, and be an argument.
                message = f"{name!r} is no name of a stack; letters, digits, '.', '_' and '-' make one"
                raise GaxxError(message)
            if not before.stack_file(name).is_file() and not after.stack_file(name).is_file():
                there = ", ".join(_all_stacks(before, after)) or "none"
                message = f"neither {before.name} nor {after.name} declares a stack {name!r}"
                raise GaxxError(message, hint=f"stacks of either: {there}")
        # What is lost is the project's, whatever stack is reviewed: looked for once, meanwhile.
        lost = stack.enter_context(concurrent.futures.ThreadPoolExecutor(1)).submit(
            orphans.look, root, static=wishes.static
        )
        found = [_review_one(name, before, after, wishes, notes, lost) for name in names]
        jobs = [] if wishes.stacks else template_page.changed(changed, after.project)
        return [*found, *([_review_jobs(jobs, before, after, wishes)] if jobs else [])]


def _review_jobs(
    paths: collections.abc.Sequence[pathlib.Path], before: _Side, after: _Side, wishes: Wishes
) -> Reviewed:
    findings = template_page.judged(paths, before.project, after.project)
    words, model = template_page.told(findings, len(paths), wishes.format)
    refused = any(finding.level == "mandatory" for finding in findings)
    return Reviewed(template_page.NAME, 2 if refused else 0, words, model)


def _stacks(before: _Side, after: _Side, changed: collections.abc.Sequence[str]) -> list[str]:
    """Stacks whose file differs; every one where code differs that they are made of."""
    of_code = [name for name in changed if name.startswith(_CODE)]
    return [name for name in _all_stacks(before, after) if of_code or f"stacks/Pulumi.{name}.yaml" in changed]


def _all_stacks(before: _Side, after: _Side) -> list[str]:
    """Stacks that have a file on either side."""
    files = {path.name for side in (before, after) for path in stack_files.paths(side.project)}
    return sorted(name.removeprefix("Pulumi.").removesuffix(".yaml") for name in files)


def _notes(repo: Repository, base: Commit, head: Commit, changed: collections.abc.Sequence[str]) -> list[str]:
    notes = []
    behind = repo.behind(base, head)
    if behind:
        notes.append(f"the head lacks {behind} commit{'s' if behind > 1 else ''} of the base, and would undo them")
    for folder, words in (
        ("policy/", "the rules are changed; this review is by those of the base"),
        ("components/", "what declares the stack is changed"),
        ("agent/", "the agent is changed"),
        ("tasks/", "the task layer is changed, reviews among it; this one is told by that of the base"),
    ):
        files = [name for name in changed if name.startswith(folder)]
        if files:
            notes.append(f"{folder}: {words} ({len(files)} file{'s' if len(files) > 1 else ''})")
    if {"uv.lock", "pyproject.toml"} & set(changed):
        notes.append("dependencies are changed; this review ran with those that are installed here")
    return notes


def _review_one(
    stack: str,
    before: _Side,
    after: _Side,
    wishes: Wishes,
    notes: list[str],
    lost: "concurrent.futures.Future[Json]",
) -> Reviewed:
    pack = before.project / "policy"
    if not (pack / "PulumiPolicy.yaml").is_file():
        message = f"{before.name} has no policy pack to judge by (policy/PulumiPolicy.yaml)"
        raise GaxxError(message, hint="a review is by the rules of its base: commit them there first")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        base = pool.submit(_gathered, stack, before, wishes, pack, of_base=True)
        head = pool.submit(_gathered, stack, after, wishes, pack, of_base=False)
        if not _has_judge(before.project):
            notes = [*notes, "the base has no judge of reviews; this one is told, and read, by that of this checkout"]
        request = {
            "base": base.result().to_json(),
            "head": head.result().to_json(),
            "notes": notes,
            "format": wishes.format,
            "orphans": lost.result(),
        }
    answer = _ask(request, before.project)
    return Reviewed(stack, int(answer["exitCode"]), str(answer.get("text", "")), answer.get("model"))


def _gathered(stack: str, side: _Side, wishes: Wishes, pack: pathlib.Path, *, of_base: bool) -> Document:
    file = side.stack_file(stack)
    if not file.is_file():
        return Document(stack, side.name, "absent")
    if wishes.static:
        for path in (side.project / "Pulumi.yaml", side.project / "stacks"):
            if path.is_symlink():
                # It would have the review read, and quote, a file of whoever runs it.
                message = f"{side.name}: {path.name} is a symbolic link"
                raise GaxxError(message)
    project = backend.project_name(side.project)
    if wishes.static:
        return declared.document(file, project=project, stack=stack, commit=side.name, root=side.project)
    faults = declared.faults_of(file, side.project)
    if faults:
        # The program would say the same, after seconds and without lines.
        return Document(stack, side.name, "declared", faults=faults)
    nodes = deploy.node_count(inventory.Stack(side.project, project, stack, ""))
    if wishes.use_state and not of_base:
        return _previewed(stack, side, preview.of_stack_itself(), pack, nodes, "state", wishes.save_plan)
    cached = _cache(stack, side) if of_base and not side.commit.dirty else None
    known = _cached(cached, side.name)
    if known is not None:
        return known
    with preview.throw_away(stack, project, file.read_text(encoding="utf-8")) as bench:
        found = _previewed(stack, side, bench, None if of_base else pack, nodes, "declared")
    if cached is not None and not found.failure:
        private.replace(cached, json.dumps(found.to_json()))
    return found


def _previewed(
    stack: str,
    side: _Side,
    bench: preview.Bench,
    pack: pathlib.Path | None,
    nodes: int,
    mode: Mode,
    save_plan: pathlib.Path | None = None,
) -> Document:
    found = preview.preview(side.project, stack, bench, pack=pack, nodes=nodes, plan=save_plan)
    refused = any(violation.level == "mandatory" for violation in found.violations)
    # A rule that refuses makes the preview fail; whatever else failed hides resources from the rules.
    others = [error for error in found.errors if error != "preview failed"]
    return Document(
        stack,
        side.name,
        mode,
        resources=found.resources,
        steps=found.steps if mode == "state" else (),
        violations=found.violations,
        failure=_plain("\n".join(others if refused else others or found.errors), side.project),
    )


def _plain(text: str, project: pathlib.Path) -> str:
    """Without the names of folders that are gone when somebody reads it."""
    return text.replace(f"{project}/", "")


def _cache(stack: str, side: _Side) -> pathlib.Path:
    # What a base declares is a function of its commit; the engine and the libraries are part of the key by version.
    import importlib.metadata

    engine = importlib.metadata.version("pulumi")
    project = side.project.parts[-1]
    key = hashlib.sha256(f"{VERSION}|{engine}|{side.commit.sha}|{project}|{stack}".encode()).hexdigest()[:32]
    return preview.cache_folder() / f"{key}.json"


def _cached(path: pathlib.Path | None, name: str) -> Document | None:
    if path is None:
        return None
    try:
        found = from_json(json.loads(private.read(path)))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return dataclasses.replace(found, commit=name)


def _has_judge(base: pathlib.Path) -> bool:
    return (base / "tasks" / "review" / "__main__.py").is_file()


def _ask(request: Json, base: pathlib.Path) -> Json:
    """Have the base judge; a base from before there were reviews is judged for by this checkout."""
    checkout = base if _has_judge(base) else _HERE
    done = subprocess.run(
        [sys.executable, "-m", "tasks.review"], cwd=checkout, input=json.dumps(request), capture_output=True,
        text=True, timeout=_JUDGE_LIMIT_S, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        message = f"the judge of the base commit: {said[-1] if said else f'exit code {done.returncode}'}"
        raise GaxxError(message, hint="review from a checkout of the base: `gaxx review --head REF`")
    answer: Json = json.loads(done.stdout)
    if answer.get("version") != JUDGE_VERSION:
        message = f"the judge of the base commit answers in version {answer.get('version')}, not {JUDGE_VERSION}"
        raise GaxxError(message, hint="review from a checkout of the base: `gaxx review --head REF`")
    return answer
