"""What a survey condemned is destroyed by Pulumi, or deleted at its vendor, after another look at whose it is."""

import collections.abc
import contextlib
import dataclasses
import os
import sys
import time
import typing

from components.errors import GaxxError
from components.provider import announced_keys
from components.vendors import KINDS, Vendor, VendorError, vendor
from tasks.reap import computer
from tasks.reap.computer import Lying
from tasks.reap.survey import Survey
from tasks.reap.verdicts import Judged
from tasks.updates import deploy

_PATIENCE_S = 60.0
"""So long a firewall or a network may stay in use by a machine that is being deleted."""
_PAUSE_S = 2.0
_IN_USE = (400, 409, 500)

Outcome = typing.Literal["destroyed", "deleted", "gone", "left", "failed"]
"""gone: somebody else was quicker; left: at another look it was not ours any more."""


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """What became of one condemned thing."""

    what: str
    outcome: Outcome
    why: str = ""


Say = collections.abc.Callable[[str], None]


def remove(survey: Survey, say: Say) -> list[Done]:
    """Do it all; what fails is told in its place and stops nothing else. Pulumi's own words go to stderr."""
    done = [destroy(survey, stack.name, say, why=stack.why) for stack in survey.condemned]
    order = {kind: number for number, kind in enumerate(KINDS)}
    # A destroy takes the stack's orphans with it: then they are gone at another look.
    done += [delete(survey, thing, say) for thing in sorted(survey.orphans, key=lambda thing: order[thing.found.kind])]
    return done + _tidied(survey, say)


def name_of(thing: Judged) -> str:
    """Something at a vendor as a person reads it."""
    return f"{thing.cloud} {thing.found.kind} {thing.found.label or thing.found.id} ({thing.found.id})"


def destroy(survey: Survey, stack: str, say: Say, *, why: str, extra: collections.abc.Sequence[str] = ()) -> Done:
    """Destroy a stack by Pulumi, whose words go to stderr. Raise Interrupted after Ctrl-C."""
    what = f"stack {stack}"
    say(f"destroying {what}: {why}")
    options = ("--yes", "--skip-preview", "--non-interactive", *extra)
    try:
        with _stdout_as_stderr():
            deploy.deploy("destroy", survey.stack(stack), options, confirm=_certain)
    except deploy.Interrupted:
        # Whoever has interrupted it wants nothing else removed either.
        raise
    except GaxxError as error:
        return Done(what, "failed", str(error))
    return Done(what, "destroyed")


def _certain(question: str, *, certain: bool) -> bool:
    """Cancel an update only when the process that held it is known to be gone."""
    del question
    return certain


def delete(survey: Survey, thing: Judged, say: Say) -> Done:
    """Delete something at its vendor, which says once more that it is ours."""
    what = name_of(thing)
    api = vendor(thing.cloud)
    if api is None:
        return Done(what, "failed", "its vendor's token is not in the environment any more")
    try:
        # What was listed may have another owner by now, or the list was wrong: asked by its id it must say so itself.
        fresh = api.again(thing.found)
        if fresh is None:
            return Done(what, "gone")
        if not fresh.of(project=survey.whose.project, backend_id=survey.whose.backend_id):
            return Done(what, "left", "its tags are not ours any more")
        say(f"deleting {what}: {thing.why}")
        _patiently(api, thing)
        if thing.found.kind == "machine":
            announced_keys.forget_machine(thing.found.id)
    except GaxxError as error:
        return Done(what, "failed", error.message)
    except (KeyError, TypeError, ValueError) as error:
        return Done(what, "failed", f"the vendor's answer cannot be read ({type(error).__name__})")
    return Done(what, "deleted")


def _patiently(api: Vendor, thing: Judged) -> None:
    deadline_s = time.monotonic() + (0.0 if thing.found.kind == "machine" else _PATIENCE_S)
    while True:
        try:
            return api.delete(thing.found)
        except VendorError as error:
            if error.status not in _IN_USE or time.monotonic() > deadline_s:
                raise
        time.sleep(_PAUSE_S)


def _tidied(survey: Survey, say: Say) -> list[Done]:
    return [delete_here(survey, lying, judged, say) for lying, judged in survey.lying if judged.verdict == "orphan"]


def delete_here(survey: Survey, lying: Lying, judged: Judged, say: Say) -> Done:
    """Delete a machine on this computer; and once a stack that is gone has none, what else it left."""
    what = f"local machine {lying.found.label} ({lying.machine.root})"
    say(f"deleting {what}: {judged.why}")
    try:
        computer.remove(lying)
        if lying.stack not in {stack.name for stack in survey.stacks}:
            computer.remove_stack(lying, survey.whose)
    except (GaxxError, OSError) as error:
        return Done(what, "failed", str(error))
    return Done(what, "deleted")


@contextlib.contextmanager
def _stdout_as_stderr() -> collections.abc.Iterator[None]:
    """Pulumi writes to this process's stdout, which is for data."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
