"""A stack's end in an incident: its machines go first, by their vendors' own calls, and the engine tidies up after.

A destroy needs the stack's lock, its passphrase, a state that can be read and every plugin, and ends one thing after
the other. The machines need none of that to go: their tags say whose they are.
"""

import concurrent.futures
import dataclasses
from collections.abc import Iterable, Sequence

from components import naming
from components.errors import GaxxError
from components.vendors import KINDS
from tasks.inventory import Stack
from tasks.reap import computer, removal
from tasks.reap.computer import Lying
from tasks.reap.removal import Done, Say
from tasks.reap.states import HERE
from tasks.reap.survey import Survey, Wishes, survey
from tasks.reap.verdicts import Judged
from tasks.selection import fold_names

_AT_ONCE = 8
_WHY = "it goes by force"


class IncompleteError(GaxxError):
    """Something could not be asked or deleted: machines may be left."""

    exit_code = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Doomed:
    """What carries the marks of a stack, in whichever state it is or is not."""

    stack: str
    survey: Survey
    things: tuple[Judged, ...]
    """At vendors; machines first."""
    lying: tuple[tuple[Lying, Judged], ...]
    """Machines on this computer."""
    spared: tuple[Judged, ...]
    """Named like the stack's, and perhaps somebody else's."""

    @property
    def has_state(self) -> bool:
        """Whether the backend has a stack of that name, and it could be read."""
        return any(known.name == self.stack and known.verdict != "unknown" for known in self.survey.stacks)

    @property
    def is_nothing(self) -> bool:
        """Whether there is neither a stack of that name nor anything with its marks."""
        is_known = any(known.name == self.stack for known in self.survey.stacks)
        return not (is_known or self.things or self.lying or self.spared)

    def __str__(self) -> str:
        """Say what goes: 3 machines (linode west-[1-2], here demo-1) and 2 other things."""
        names: dict[str, list[str]] = {}
        for thing in (*self.things, *(judged for _, judged in self.lying)):
            if thing.found.kind == "machine":
                names.setdefault(thing.cloud, []).append(thing.found.label or thing.found.id)
        machines = sum(map(len, names.values()))
        where = ", ".join(
            f"{'here' if cloud == HERE else cloud} {fold_names(listed)}" for cloud, listed in names.items()
        )
        rest = len(self.things) + len(self.lying) - machines
        counted = f"{machines} machine{'s' * (machines != 1)}{f' ({where})' if where else ''}"
        return f"{counted} and {rest} other thing{'s' * (rest != 1)}"


def look(stack: Stack) -> Doomed:
    """Find what `end` would delete. Raise GaxxError when the backend does not answer."""
    found = survey(stack.root, Wishes(stack=stack.name, grace_s=0.0, ask_nodes=False))
    order = {kind: number for number, kind in enumerate(KINDS)}
    things = sorted(found.things, key=lambda thing: order[thing.found.kind])
    return Doomed(
        stack.name,
        found,
        tuple(thing for thing in things if _goes(found, thing, stack.name)),
        tuple((lying, judged) for lying, judged in found.lying if _goes(found, judged, stack.name)),
        tuple(thing for thing in things if thing.verdict != "foreign" and not _goes(found, thing, stack.name)),
    )


def _goes(found: Survey, thing: Judged, stack: str) -> bool:
    """Whether it is this stack's beyond doubt; what keeps `reap` from it, a lock or its age, counts for nothing."""
    if thing.verdict == "kept":
        return True
    marks = thing.found.values("stack")
    return thing.verdict != "foreign" and not found.whose.unclear and marks == {naming.tag_value("stack", stack)}


def end(doomed: Doomed, stack: Stack, say: Say, *, extra: Sequence[str] = ()) -> list[Done]:
    """Delete the machines, destroy the stack (with `extra` options of Pulumi's), and delete what is left after that.

    Raise IncompleteError when something was not asked or is left, GaxxError when the machines are gone and the state,
    which could not be changed, still has them.
    """
    done = _machines(doomed, say)
    destroyed = Done("", "gone")
    if any(known.name == stack.name for known in doomed.survey.stacks):
        destroyed = removal.destroy(doomed.survey, stack.name, say, why=_WHY, extra=extra)
    gone = {thing.found.id for thing in doomed.things if thing.found.kind == "machine"}
    # Another look: the destroy has taken firewalls with it, and an update that still runs may have made machines.
    again = look(stack)
    rest = tuple(thing for thing in again.things if thing.found.id not in gone)
    done += _machines(dataclasses.replace(again, things=rest), say)
    done += [removal.delete(again.survey, _by_force(thing), say) for thing in rest if thing.found.kind != "machine"]
    _complain(stack, again, done, destroyed)
    if destroyed.outcome != "destroyed":
        computer.forget_stack(stack.name, again.survey.whose)
    return done


def _machines(doomed: Doomed, say: Say) -> list[Done]:
    things = [_by_force(thing) for thing in doomed.things if thing.found.kind == "machine"]
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        done = list(pool.map(lambda thing: removal.delete(doomed.survey, thing, say), things))
        done += pool.map(lambda one: removal.delete_here(doomed.survey, one[0], _by_force(one[1]), say), doomed.lying)
    return done


def _by_force(thing: Judged) -> Judged:
    return dataclasses.replace(thing, why=_WHY)


def _complain(stack: Stack, again: Doomed, done: Iterable[Done], destroyed: Done) -> None:
    failed = [destroyed.why] if destroyed.outcome == "failed" else []
    left = [*again.survey.faults, *(f"{one.what}: {one.why}" for one in done if one.outcome in ("failed", "left"))]
    left += [f"{removal.name_of(thing)} was spared: {thing.why}" for thing in again.spared]
    if left:
        message = f"something of {stack.name} may be left: {'; '.join([*left, *failed])}"
        raise IncompleteError(message, hint="the same command goes on from here")
    if failed:
        message = f"the machines of {stack.name} are gone, and its state still has them: {destroyed.why}"
        hint = f"`pulumi destroy` when it can, or give the state up: `pulumi stack rm --force {stack.name}`"
        raise GaxxError(message, hint=hint)
