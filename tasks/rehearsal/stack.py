"""A whole life of a stack on the rehearsal: preview, up, a command, another preview, destroy; nothing is left."""

import collections.abc
import dataclasses
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

from components import backend
from components.authority import Authority
from components.engine_program import program
from components.errors import GaxxError
from tasks import identity
from tasks.inventory import Stack
from tasks.rehearsal import copy
from tasks.rehearsal.service import Rehearsal
from tasks.updates import deploy

Say = collections.abc.Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One command of the rehearsal."""

    name: str
    line: tuple[str, ...]


class Interrupted(GaxxError):  # noqa: N818 - reads as what happened
    """The user has had enough; what was made is gone."""

    exit_code = 130


def rehearse(
    rehearsal: Rehearsal, root: pathlib.Path, stack: str, command: collections.abc.Sequence[str], *,
    ended: threading.Event, say: Say,
) -> None:  # fmt: skip
    """Run the steps one after the other; destroy whatever happened before. Blocks. Raise GaxxError."""
    operator, _ = identity.ensure()
    with tempfile.TemporaryDirectory(prefix="gaxx-rehearsal-") as folder:
        base = pathlib.Path(folder)
        left_out = copy.make(root, stack, base, operator)
        kept_back = [key for key in left_out if not key.endswith((":authorityKey", ":previousAuthorityKey"))]
        if kept_back:
            say(f"not rehearsed, since only the stack's own secrets provider can read them: {', '.join(kept_back)}")
        runner = _Runner(base / "project", copy.environment(base, rehearsal.environment()), say)
        runner.prepare(stack, backend.project_name(root))
        steps = _steps(stack, runner, command)
        failed = ""
        for step in steps:
            if ended.is_set():
                break
            if runner.run(step) != 0:
                failed = step.name
                break
        # Also of what failed half-way: that too has to leave nothing.
        if runner.run(Step("destroy", _pulumi("destroy", stack, "--yes", "--skip-preview"))) != 0:
            failed = failed or "destroy"
    left = {kind: count for kind, count in rehearsal.store.left().items() if count}
    if ended.is_set():
        message = f"rehearsal of {stack} interrupted"
        raise Interrupted(message)
    if failed:
        message = f"rehearsal of {stack}: {failed} failed; its words are above"
        raise GaxxError(message)
    if left:
        message = f"rehearsal of {stack}: destroy left {', '.join(f'{count} {kind}' for kind, count in left.items())}"
        raise GaxxError(message)


class _Runner:
    """Runs commands in the copy; what they print goes to stderr."""

    def __init__(self, project: pathlib.Path, environment: dict[str, str], say: Say) -> None:
        self.project = project
        self._environment = environment
        self._say = say

    def prepare(self, stack: str, project: str) -> None:
        """Make the stack with an authority of its own."""
        self._quiet(("stack", "init", stack, "--no-select", "--secrets-provider", "passphrase"))
        # Through a pipe: an argument could be read by every process of this machine.
        words = ("config", "set", "--secret", "--stack", stack, f"{project}:authorityKey")
        self._quiet(words, stdin=Authority.create(stack).pem)

    def run(self, step: Step) -> int:
        """Run one step and say how it went."""
        self._say(f"rehearsal: {step.name}")
        started = time.monotonic()
        done = subprocess.run(
            step.line, cwd=self.project, env=self._environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
        )
        well = "done" if done.returncode == 0 else f"failed with exit code {done.returncode}"
        self._say(f"rehearsal: {step.name} {well} in {time.monotonic() - started:.1f} s")
        return done.returncode

    def _quiet(self, words: tuple[str, ...], *, stdin: str = "") -> None:
        line = (program(), *words, "--non-interactive")
        done = subprocess.run(
            line, cwd=self.project, env=self._environment, input=stdin, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            message = f"pulumi {words[0]} {words[1]}: {done.stderr.strip() or 'no word'}"
            raise GaxxError(message)


def _steps(stack: str, runner: _Runner, command: collections.abc.Sequence[str]) -> list[Step]:
    where = Stack(runner.project, backend.project_name(runner.project), stack, "")
    up = _gaxx("up", stack, "--yes", "--skip-preview")
    # Such an update may end well without all machines, and leave something to be made.
    again = [Step("up again, for what it went on without", up)] if deploy.may_go_on_without(where) else []
    return [
        Step("preview", _pulumi("preview", stack)),
        Step(f"up of {deploy.node_count(where)} nodes", up),
        Step(f"gaxx run -- {' '.join(command)}", _gaxx("run", stack, "--", *command)),
        *again,
        Step("preview, which must be empty", _pulumi("preview", stack, "--expect-no-changes")),
    ]


def _gaxx(verb: str, stack: str, *more: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tasks.cli.main", verb, "--stack", stack, *more)


def _pulumi(verb: str, stack: str, *more: str) -> tuple[str, ...]:
    return (program(), verb, "--stack", stack, *more)
