"""A plan that is applied only to what was reviewed.

The engine's own plan refuses changed inputs; it notices neither another program or provider nor another state. So
beside it lies a record of commit, tree, state, stack and the plan's own digest, and an update by it starts by
comparing all of them.
"""

import collections.abc
import hashlib
import json
import pathlib

from components import backend
from components.errors import GaxxError, Refused
from tasks import private
from tasks.inventory import Stack
from tasks.pulumi_cli import pulumi
from tasks.review import repository

VERSION = 1
_WORDS = {
    "stack": "the stack",
    "backend": "the backend",
    "commit": "the commit",
    "tree": "the files",
    "state": "the stack's state",
    "plan": "the plan itself",
}


def record_of(plan: pathlib.Path) -> pathlib.Path:
    """Where the record of a plan lies."""
    return plan.with_name(f"{plan.name}.review.json")


def require_clean(root: pathlib.Path, plan: pathlib.Path) -> None:
    """Raise Refused where the folder holds what no commit does: nobody could tell later what was planned."""
    if repository.find(root).working_tree((plan, record_of(plan))).dirty:
        message = "there are uncommitted changes: a plan is of a commit"
        raise Refused(message, hint="commit them, or `git stash`")


def write_record(plan: pathlib.Path, stack: Stack, state: str) -> None:
    """Record what the plan was made of; `state` is what `state_version` said before it was made."""
    plan.chmod(0o600)
    private.replace(record_of(plan), json.dumps(_now(plan, stack, state), indent=1) + "\n")


def check(plan: pathlib.Path, stack: Stack) -> None:
    """Raise Refused unless commit, files, stack, state and plan are what they were at the review."""
    try:
        record = json.loads(record_of(plan).read_text(encoding="utf-8"))
        if not plan.is_file() or not isinstance(record, dict):
            raise FileNotFoundError  # noqa: TRY301 - told below, as one thing
    except (FileNotFoundError, ValueError):
        message = f"{plan} has no record of what was reviewed ({record_of(plan).name})"
        raise Refused(message, hint="`gaxx review --save-plan` makes both") from None
    require_clean(stack.root, plan)
    now = _now(plan, stack, state_version(stack))
    changed = [words for key, words in _WORDS.items() if record.get(key) != now[key]]
    if record.get("version") != VERSION or changed:
        what = " and ".join(changed) or "the form of the record"
        message = f"{plan} is not what was reviewed: changed since then: {what}"
        raise Refused(message, hint="review again: `gaxx review --save-plan`")


def state_version(stack: Stack) -> str:
    """A digest of the stack's state as the backend has it; it changes with every update."""
    exported = json.loads(pulumi(["stack", "export", "--stack", stack.name], stack.root))
    return hashlib.sha256(json.dumps(exported, sort_keys=True).encode()).hexdigest()


def arguments(plan: pathlib.Path) -> collections.abc.Sequence[str]:
    """What `pulumi up` is told: the plan, and to ask nothing that the plan did not ask."""
    return ("--plan", str(plan.absolute()), "--skip-preview", "--yes", "--refresh=false")


def _own_backend(stack: Stack) -> str:
    """The backend's id as the update is going to see it: a new one gets its own before its first machine."""
    url = backend.current_backend_url(stack.root)
    backend.ensure_own_id(url, stack.root)
    return backend.backend_id(url, stack.root)


def _now(plan: pathlib.Path, stack: Stack, state: str) -> dict[str, object]:
    commit = repository.find(stack.root).working_tree()
    try:
        digest = hashlib.sha256(plan.read_bytes()).hexdigest()
    except OSError as error:
        message = f"{plan}: {error.strerror}"
        raise GaxxError(message) from error
    return {
        "version": VERSION,
        "stack": f"{stack.project}/{stack.name}",
        "backend": _own_backend(stack),
        "commit": commit.sha,
        "tree": commit.tree,
        "state": state,
        "plan": digest,
    }
