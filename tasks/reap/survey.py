"""All that was found, and what is to become of it; nothing is changed here."""

import dataclasses
import datetime as dt
import pathlib
from collections.abc import Mapping, Sequence

from components import backend
from components.errors import GaxxError
from components.vendors import TOKENS, Found
from tasks import prices
from tasks.inventory import Stack
from tasks.reap import accounts, computer, idle, states, verdicts
from tasks.reap.computer import Lying
from tasks.reap.states import HERE, StackState
from tasks.reap.verdicts import Judged, JudgedStack, Whose

GRACE_S = 30 * 60
"""So old a machine is before it can be an orphan: one that is being made is in no state yet."""


@dataclasses.dataclass(frozen=True, slots=True)
class Survey:
    """What there is."""

    root: pathlib.Path
    whose: Whose
    stacks: tuple[JudgedStack, ...]
    things: tuple[Judged, ...]
    lying: tuple[tuple[Lying, Judged], ...]
    """Machines on this computer."""
    faults: tuple[str, ...]
    """What could not be asked or read, and is needed: the answer is not whole."""
    notes: tuple[str, ...]
    """What was not asked, and perhaps need not be."""
    prices_of: str

    @property
    def condemned(self) -> tuple[JudgedStack, ...]:
        """Stacks that are to be destroyed."""
        return tuple(stack for stack in self.stacks if stack.verdict in ("expired", "idle"))

    @property
    def orphans(self) -> tuple[Judged, ...]:
        """Things at vendors that are to be deleted."""
        return tuple(thing for thing in self.things if thing.verdict == "orphan")

    def stack(self, name: str) -> Stack:
        """A stack, as others name it."""
        return Stack(self.root, self.whose.project, name, self.whose.backend_id)


@dataclasses.dataclass(frozen=True, slots=True)
class Wishes:
    """What is looked for."""

    stack: str = ""
    """Empty: all of the project."""
    grace_s: float = GRACE_S
    ask_nodes: bool = True
    """Whether nodes are asked if they are idle."""
    this_computer: bool = True
    """Whether folders of local nodes are looked at."""


def survey(root: pathlib.Path, wishes: Wishes, *, now: dt.datetime | None = None) -> Survey:
    """Look at everything. Raise GaxxError when no backend is chosen or it does not answer."""
    url = backend.current_backend_url(root)
    if not url:
        message = "no Pulumi backend chosen"
        raise GaxxError(message, hint='run `eval "$(gaxx env)"`, or `pulumi login`')
    whose = Whose(backend.project_name(root), backend.backend_id(url, root), unclear=_unclear(url, root))
    moment = now or dt.datetime.now(dt.UTC)
    # Vendors before states: what is made and recorded between the two is then known.
    asked = accounts.ask()
    known = states.read(root)
    lying = computer.look(whose, known, root) if wishes.this_computer else []
    chosen = [state for state in known if wishes.stack in ("", state.name)]
    sentences, unasked = _idle(whose, chosen, root) if wishes.ask_nodes else ({}, [])
    return judged(root, whose, (asked, known, lying), wishes, now=moment, idle_stacks=sentences, unasked=unasked)


def judged(
    root: pathlib.Path,
    whose: Whose,
    found: tuple[Sequence[accounts.Asked], Sequence[StackState], Sequence[Lying]],
    wishes: Wishes,
    *,
    now: dt.datetime,
    idle_stacks: Mapping[str, str],
    unasked: Sequence[str] = (),
) -> Survey:
    """Judge what the vendors named, the states know, and lies here; reads the table of prices and nothing else."""
    asked, known, lying = found
    table = prices.read(root)
    judge = _Judge(whose, tuple(known), table, now, wishes.grace_s)
    things = [judge(answer.cloud, one) for answer in asked for one in answer.found]
    faults, notes = _gaps(asked, known, wishes.stack)
    return Survey(
        root,
        whose,
        tuple(
            verdicts.judge_stack(state, things, idle_stacks, now=now)
            for state in known if wishes.stack in ("", state.name)
        ),
        tuple(thing for thing in things if wishes.stack in ("", thing.stack)),
        tuple((one, verdict) for one in lying for verdict in [judge(HERE, one.found)]
              if wishes.stack in ("", verdict.stack)),
        tuple(faults),
        (*notes, *unasked),
        table.date,
    )  # fmt: skip


def _unclear(url: str, root: pathlib.Path) -> str:
    """Why a backend's id may be that of others, too."""
    if url.startswith(("http://", "https://")):
        # Organizations of one server are one backend here, and one login does not see all of their stacks.
        return "it may be of another organization's stack, which is not to be seen from here"
    folder = backend.folder_of(url, root)
    if folder is not None and not backend.own_id(folder):
        return f"another computer may have a backend at the same path ({folder}); one that is new gets an id of its own"
    return ""


def _gaps(asked: Sequence[accounts.Asked], known: Sequence[StackState], stack: str) -> tuple[list[str], list[str]]:
    """What was not asked or read, where that leaves the answer (for `stack`) incomplete, and where perhaps not."""
    faults = [fault for answer in asked for fault in answer.faults]
    faults += [f"stack {state.name} could not be read: {state.fault}" for state in known if state.fault]
    notes = []
    for cloud, variable in TOKENS.items():
        if cloud in {answer.cloud for answer in asked}:
            continue
        words = f"{cloud} was not asked: {variable} is not in the environment"
        used = [state.name for state in known if cloud in state.clouds and stack in ("", state.name)]
        if used:
            faults.append(f"{words}, and machines of {', '.join(used)} are there")
        else:
            notes.append(words)
    return faults, notes


def _idle(whose: Whose, chosen: Sequence[StackState], root: pathlib.Path) -> tuple[dict[str, str], list[str]]:
    sentences: dict[str, str] = {}
    unasked = []
    for state in chosen:
        said, why_not = idle.sentence(Stack(root, whose.project, state.name, whose.backend_id), state)
        if said:
            sentences[state.name] = said
        if why_not:
            unasked.append(why_not)
    return sentences, unasked


@dataclasses.dataclass(frozen=True, slots=True)
class _Judge:
    whose: Whose
    known: tuple[StackState, ...]
    table: prices.Table
    now: dt.datetime
    grace_s: float

    def __call__(self, cloud: str, found: Found) -> Judged:
        verdict, why, stack = verdicts.judge(cloud, found, self.whose, self.known, now=self.now, grace_s=self.grace_s)
        # A firewall, a key or a private network is not billed by the hour.
        usd = self.table.hourly_usd(cloud, found.type, found.region) if found.kind == "machine" else 0.0
        return Judged(cloud, found, verdict, why, stack, verdicts.expiry(found), usd)
