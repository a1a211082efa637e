"""`up`, `preview`, `down`: plain Pulumi on this terminal, and help where Pulumi leaves one alone.

Pulumi does everything; added are the stack, a parallelism fit for the fleet, the difference between a failure
and a refused policy, another try where `enough` machines are left when a cloud refused one, and what to do about the
lock that a killed Pulumi leaves behind.
"""

import collections.abc
import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

from components import left_out
from components.engine_program import program
from components.errors import GaxxError, Refused
from tasks import env, identity, stack_files
from tasks.inventory import NO_SUCH_STACK, Stack
from tasks.updates import doing_without, locks
from tasks.updates.event_log import event_log, of_kind

Verb = str
"""Pulumi's own: up, preview, destroy."""


_TAIL_BYTES = 64 * 1024


_ANSWERS = frozenset({"--yes", "--skip-preview", "--preview-only"})
"""Pulumi's options after which it asks nothing …"""
_SHORT_ANSWERS = re.compile("-[a-zA-Z]*[yf]")
"""… and `-y` and `-f`, also among others."""


class Declined(GaxxError):  # noqa: N818 - reads as what happened
    """The user was asked whether to go on, and did not want it: nothing was changed."""

    exit_code = 130


class Interrupted(GaxxError):  # noqa: N818 - reads as what happened
    """The user pressed Ctrl-C, and Pulumi ended for it."""

    exit_code = 130


def must_be_answered(extra: collections.abc.Sequence[str]) -> None:
    """Raise GaxxError when Pulumi, with these options, would ask whether to go on and nobody is there to say so.

    Pulumi finds that out after the preview; what a verb changes before it begins (the stack file) would stay changed.
    """
    if sys.stdin.isatty() and sys.stdout.isatty():
        return
    if os.environ.get("PULUMI_SKIP_CONFIRMATIONS", "").lower() in {"1", "true"}:
        return
    if not any(word.partition("=")[0] in _ANSWERS or _SHORT_ANSWERS.fullmatch(word) for word in extra):
        message = "nobody can be asked whether to go on: this is no terminal"
        raise GaxxError(
            message, hint="nothing was changed; `--yes` asks nothing, `gaxx preview` shows what would change"
        )


def deploy(
    verb: Verb,
    stack: Stack,
    extra: collections.abc.Sequence[str] = (),
    *,
    confirm: locks.Confirm,
) -> None:
    """Run `pulumi VERB` for `stack` on this terminal, with `extra` arguments.

    A lock whose holder is dead is cancelled when `confirm` agrees, and the verb run again, once. An `up` in which a
    cloud made no machine for some nodes is tried without them, as long as their fleets have enough. Raise Refused when
    a mandatory policy said no, Declined when the user did, Interrupted after Ctrl-C, GaxxError when Pulumi failed
    otherwise.
    """
    if verb != "preview":
        must_be_answered(extra)
    env.prepare(env.chosen())
    identity.ensure()
    line = [program(), verb, "--stack", stack.name, *extra]
    if not any(word == "-p" or word.startswith("--parallel") for word in extra):
        line += ["--parallel", str(parallelism(node_count(stack)))]
    result = _run(line, stack.root)
    if result.locked and locks.cancel(stack, result.holders, confirm):
        result = _run(line, stack.root)
    if verb == "up" and not any(word.startswith("--plan") for word in extra):
        result = _with_enough(stack, line, result)
    if result.code == 0:
        return
    if result.refusals:
        message = f"pulumi {verb}: refused by policy: {', '.join(result.refusals)}"
        raise Refused(message)
    if result.declined and verb != "preview":
        message = f"pulumi {verb} was declined"
        raise Declined(message, hint="nothing was changed")
    if result.interrupted:
        message = f"pulumi {verb} was interrupted"
        raise Interrupted(message, hint="what it was doing it has ended; the next one goes on from there")
    message = f"pulumi {verb} failed with exit code {result.code}"
    raise GaxxError(message, hint=f"`gaxx init --stack {stack.name}` makes that stack" if result.is_unknown else "")


def _with_enough(stack: Stack, line: collections.abc.Sequence[str], result: "_Result") -> "_Result":
    """Try again without the machines that could not be made, while there are enough: each time fewer are left."""
    without = frozenset(left_out.named())
    # Whoever has interrupted it wants no other try.
    while (
        result.code != 0
        and not result.interrupted
        and (wanted := doing_without.spared(_fleets(stack), result.failures, without))
    ):
        without = wanted
        _say(doing_without.sentence(without))
        result = _run(line, stack.root, {left_out.VARIABLE: ",".join(sorted(without))})
        if result.code == 0:
            _remove_leftovers(stack)
    return result


def _remove_leftovers(stack: Stack) -> None:
    from tasks.reap import leftovers

    try:
        for done in leftovers.remove(stack, _say):
            if done.outcome == "failed":
                _say(f"{done.what} was not deleted: {done.why}; `gaxx reap` does it")
    except GaxxError as error:
        _say(f"what the failed creates may have left was not looked for: {error}; `gaxx reap` does")


def _say(text: str) -> None:
    sys.stderr.write(f"gaxx: {text}\n")
    sys.stderr.flush()


def parallelism(nodes: int) -> int:
    """How many resources Pulumi handles at once: Pulumi's own default is made for clouds that do the waiting."""
    return min(256, max(16, 3 * nodes))


def node_count(stack: Stack) -> int:
    """How many nodes the stack file declares; 0 when it cannot be read (Pulumi will say why)."""
    try:
        return sum(int(str(fleet.get("nodes", 1))) for fleet in _fleets(stack))
    except (AttributeError, ValueError):
        return 0


def may_go_on_without(stack: Stack) -> bool:
    """Whether a fleet of the stack declares fewer nodes as enough than it has."""
    return any("enough" in fleet and fleet["enough"] != fleet.get("nodes") for fleet in _fleets(stack))


def _fleets(stack: Stack) -> list[collections.abc.Mapping[str, object]]:
    """The fleets as the stack file has them, unchecked; none when it cannot be read: Pulumi will say why."""
    try:
        config = stack_files.configuration(stack.root, stack.name)
    except GaxxError:
        return []
    found = config.get(f"{stack.project}:fleets")
    return [fleet for fleet in found if isinstance(fleet, dict)] if isinstance(found, list) else []


@dataclasses.dataclass(frozen=True, slots=True)
class _Result:
    code: int
    locked: bool = False
    holders: tuple[locks.Lock, ...] = ()
    refusals: tuple[str, ...] = ()
    failures: tuple[doing_without.Failure, ...] = ()
    declined: bool = False
    is_unknown: bool = False
    """There is no such stack."""
    interrupted: bool = False


def _run(
    line: collections.abc.Sequence[str], root: pathlib.Path, more: collections.abc.Mapping[str, str] | None = None
) -> _Result:
    # The event log tells a refused policy from a failure; the exit code does not.
    with event_log() as events:
        # stdout stays the terminal, so that Pulumi draws; stderr passes through us, for the words about locks.
        process = subprocess.Popen(
            [*line, "--event-log", str(events)], cwd=root, stderr=subprocess.PIPE,
            # Without this Pulumi denies that it has an event log.
            env={**os.environ, "PULUMI_DEBUG_COMMANDS": "1", **(more or {})},
        )  # fmt: skip
        tail = _Tail(process)
        # Ctrl-C reaches Pulumi by itself, which then ends gently, or at the second at once.
        with _noting(signal.SIGINT) as interrupts:
            code = process.wait()
        said = tail.finish()
        if code == 0:
            # The log of a large fleet is long, and only a failure is to be explained.
            return _Result(code)
        return _Result(
            code,
            locked=locks.is_locked(said),
            holders=locks.holders(said),
            refusals=_refusals(events),
            failures=doing_without.failures(events),
            declined=_declined(events, said),
            is_unknown=NO_SUCH_STACK.encode() in said,
            interrupted=bool(interrupts),
        )


class _Tail:
    """Passes a process's stderr on as it comes, and keeps its end."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._kept = b""
        self._thread = threading.Thread(target=self._copy, name="stderr")
        self._thread.start()

    def finish(self) -> bytes:
        self._thread.join()
        return self._kept

    def _copy(self) -> None:
        stream = self._process.stderr
        if stream is None:
            return
        while data := os.read(stream.fileno(), _TAIL_BYTES):
            self._kept = (self._kept + data)[-_TAIL_BYTES:]
            with contextlib.suppress(BrokenPipeError):
                sys.stderr.buffer.write(data)
                sys.stderr.buffer.flush()
        stream.close()


@contextlib.contextmanager
def _noting(number: signal.Signals) -> collections.abc.Iterator[list[int]]:
    """Let a signal do nothing but be in the list."""
    noted: list[int] = []
    before = signal.signal(number, lambda number, _frame: noted.append(number))
    try:
        yield noted
    finally:
        signal.signal(number, before)


def _refusals(events: pathlib.Path) -> tuple[str, ...]:
    refused = (event for event in of_kind(events, "policyEvent") if event.get("enforcementLevel") == "mandatory")
    return tuple(dict.fromkeys(str(event.get("policyName")) for event in refused))


def _declined(events: pathlib.Path, said: bytes) -> bool:
    """Whether the last that the engine did was a preview, all went well, and Pulumi itself then found no fault."""
    summaries = list(of_kind(events, "summaryEvent"))
    well = bool(summaries) and summaries[-1].get("isPreview") is True and summaries[-1].get("result") == "succeeded"
    return well and (b"error:" not in said or b"confirmation cancelled" in said)
