"""The lease queue: which item is where, and what has become of it. Pure: time is an argument, nothing is sent here.

pending → leased to a node → ok | failed | quarantined, or back to pending: when it failed and may be tried again, when
its node fell silent longer than its lease, when the node gave it back. Execution is at least once, acceptance exactly
once: the first success that arrives counts, also one from an expired lease; everything later is a duplicate.

Memory: two bytes an item; everything else is bounded by what is leased or waits for another attempt.
"""

import collections
import collections.abc
import dataclasses

from tasks.work.blame import Blame
from tasks.work.holder import Cordoned, Held, Holder
from tasks.work.item_table import MAX_ATTEMPT, ItemTable
from tasks.work.order import Order
from tasks.work.states import TERMINAL, Effect, State, Verdict

COPIES = 2
"""An item is at no more nodes than this at once."""
SCAN = 4096
"""Returned items looked at for one lease: some may not go to this node."""


@dataclasses.dataclass(frozen=True, slots=True)
class Grant:
    """An item handed to a node."""

    index: int
    attempt: int


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """The effect of one result, and which nodes still hold copies that nobody needs any more."""

    effect: Effect
    cancel_at: tuple[str, ...] = ()


class LeaseQueue:
    """Hands out the items 0 … count-1 of one run."""

    def __init__(self, *, attempts: int = 1, lease_s: float = 30.0, order: Order | None = None) -> None:
        self.attempts = attempts
        self.lease_s = lease_s
        self.complete = False
        """No more items will come."""
        self.items = ItemTable()
        """To be read, and to `grow` while the input is."""
        self.holders: dict[str, Holder] = {}
        self._order = order or Order()
        self._blame = Blame()
        self._cursor = 0
        self._returned: collections.deque[int] = collections.deque()
        self._copies: dict[int, int] = {}

    # What is there

    @property
    def count(self) -> int:
        """Items known so far."""
        return self.items.count

    @property
    def finished(self) -> bool:
        """Every item has its answer, and no more will come."""
        return self.complete and self.items.answered == self.count

    # Items and nodes come and go

    def restore(self, index: int, state: State, attempt: int, failed_on: collections.abc.Sequence[str] = ()) -> None:
        """Set what an earlier session's journal says of an item; before anything is leased."""
        if state is State.LEASED:
            state = State.PENDING
        self.items.move(index, state)
        self.items.attempts[index] = min(attempt, MAX_ATTEMPT)
        if failed_on and state is State.PENDING:
            self._blame.remember(index, failed_on)

    def join(self, node: str, now_s: float) -> Holder:
        """A node is there (again); a node that is known keeps what it holds."""
        holder = self.holders.get(node)
        if holder is None:
            holder = self.holders[node] = Holder(node, now_s)
        holder.heard_s = now_s
        return holder

    def heard(self, node: str, now_s: float) -> None:
        """A sign of life renews every lease of the node."""
        self.holders[node].heard_s = now_s

    def adopt(self, node: str, indexes: collections.abc.Iterable[int], now_s: float) -> list[int]:
        """Note items that run at a node since an earlier session; return those that it need not run."""
        holder = self.holders[node]
        surplus = []
        for index in indexes:
            if index >= self.count or self.items.states[index] in TERMINAL:
                surplus.append(index)
            elif index not in holder.holding:
                attempt = self.items.attempts[index] or self.items.begin_attempt(index)
                self._hold(holder, index, Held(attempt, now_s))
        return surplus

    def release(self, node: str, *, keep: collections.abc.Container[int] = ()) -> list[int]:
        """Take back what a node holds, except `keep`; return what is pending again. Nobody is to blame."""
        holder = self.holders[node]
        back = [index for index in holder.holding if index not in keep]
        return [index for index in back if self._unhold(holder, index) and self._give_back(index)]

    def expire(self, now_s: float) -> dict[str, list[int]]:
        """Take back the leases of nodes that have been silent for too long; return what is pending again, by node."""
        expired: dict[str, list[int]] = {}
        for node, holder in self.holders.items():
            if holder.holding and now_s - holder.heard_s > self.lease_s:
                expired[node] = self.lost(node)
        return expired

    def lost(self, node: str, *, keep: collections.abc.Container[int] = ()) -> list[int]:
        """Like `release`, but the node was lost under the items; see `give_up`."""
        for index in self.holders[node].holding:
            if index not in keep:
                self._blame.lost(index)
        return self.release(node, keep=keep)

    def give_up(self) -> list[int]:
        """Let items fail under which too many nodes were lost; return them."""
        over = self._blame.lost_too_often()
        for index in over:
            self._answer(index, State.FAILED, Effect.FAILED)
        return over

    # Leases

    def lease(self, node: str, limit: int, now_s: float) -> list[Grant]:
        """Hand out up to `limit` items to a node: those that came back first, then the next of the input."""
        holder = self.holders[node]
        if limit <= 0 or not self._may_have(holder, now_s):
            return []
        grants = self._lease_returned(holder, limit, now_s) if self._returned else []
        while len(grants) < limit and self._cursor < self.count:
            grants.extend(self._lease_next(holder, limit - len(grants), now_s))
        return grants

    def speculate(self, node: str, limit: int, older_than_s: float, now_s: float) -> list[Grant]:
        """Hand out second copies of what other nodes have held for longer than `older_than_s`, the oldest first.

        Only when nothing is pending any more; an item is at two nodes at most.
        """
        holder = self.holders[node]
        if limit <= 0 or not self._may_have(holder, now_s) or not self.complete or self.items.number(State.PENDING):
            return []
        late = [
            (held.leased_at_s, index)
            for other in self.holders.values()
            if other is not holder
            for index, held in other.holding.items()
            if now_s - held.leased_at_s >= older_than_s
            and self._copies.get(index, 1) < COPIES
            and self.items.states[index] == State.LEASED
            and index not in holder.holding
            and not self._blame.has_failed(index, node)
        ]
        late.sort()
        return [self._grant(holder, index, now_s) for _, index in late[:limit]]

    def settle(self, node: str, index: int, verdict: Verdict) -> Settled:
        """Take a node's result for an item, whether or not its lease still stands."""
        if index >= self.count:
            return Settled(Effect.DUPLICATE)
        holder = self.holders[node]
        alone = self._unhold(holder, index)
        if self.items.states[index] in TERMINAL:
            return Settled(Effect.DUPLICATE)
        match verdict:
            case Verdict.OK:
                holder.recent.append(True)
                return self._answer(index, State.OK, Effect.OK, alone=alone)
            case Verdict.FAILED if not holder.cordoned:
                holder.failed(index)
                return self._failed(node, index, alone=alone)
            case Verdict.LOST:
                self._blame.lost(index)
        self._give_back(index)
        return Settled(Effect.REQUEUED)

    def suspect(self, node: str) -> Cordoned | None:
        """Cordon the node when many different items fail on it that do well elsewhere; forgive their failures there."""
        holder = self.holders[node]
        if not holder.suspicious(self.holders.values()):
            return None
        holder.cordoned = True
        return Cordoned(node, tuple(self._forgive(node, holder)))

    def reopen(self, indexes: collections.abc.Iterable[int]) -> list[int]:
        """Let items that failed be tried again, as an earlier session decided; return those that had."""
        again = [index for index in indexes if index < self.count and self.items.states[index] == State.FAILED]
        for index in again:
            self.items.move(index, State.PENDING)
            self._returned.append(index)
        return again

    def cancel_rest(self) -> None:
        """The user stopped the run: what has no answer never gets one."""
        for holder in self.holders.values():
            holder.holding.clear()
        self._copies.clear()
        self._returned.clear()
        self._cursor = self.count

    def _may_have(self, holder: Holder, now_s: float) -> bool:
        """Who has been silent for so long that its leases are taken back would only lose the same items again."""
        return holder.takes_work and now_s - holder.heard_s <= self.lease_s

    def _hold(self, holder: Holder, index: int, held: Held) -> None:
        if self.items.states[index] == State.LEASED:
            self._copies[index] = self._copies.get(index, 1) + 1
        else:
            self.items.move(index, State.LEASED)
        holder.holding[index] = held

    def _unhold(self, holder: Holder, index: int) -> bool:
        """Forget one copy; return whether it was the last one."""
        if holder.holding.pop(index, None) is None:
            return False
        left = self._copies.pop(index, 1) - 1
        if left > 1:
            self._copies[index] = left
        return not left

    def _held_by(self, index: int) -> tuple[str, ...]:
        return tuple(node for node, holder in self.holders.items() if index in holder.holding)

    def _give_back(self, index: int) -> bool:
        """Make an item pending unless some node still holds it or it is pending already."""
        if self.items.states[index] != State.LEASED or self._held_by(index):
            return False
        self.items.move(index, State.PENDING)
        self._returned.append(index)
        return True

    def _grant(self, holder: Holder, index: int, now_s: float) -> Grant:
        attempt = self.items.begin_attempt(index)
        self._hold(holder, index, Held(attempt, now_s))
        return Grant(index, attempt)

    def _lease_next(self, holder: Holder, limit: int, now_s: float) -> list[Grant]:
        start, stop = self._cursor, min(self._cursor + limit, self.count)
        self._cursor = stop
        if not self._order.shuffled and self.items.lease_untouched(start, stop):
            holder.holding.update(dict.fromkeys(range(start, stop), Held(1, now_s)))
            return [Grant(index, 1) for index in range(start, stop)]
        indexes = (self._order.at(position) for position in range(start, stop))
        return [self._grant(holder, index, now_s) for index in indexes if self.items.states[index] == State.PENDING]

    def _lease_returned(self, holder: Holder, limit: int, now_s: float) -> list[Grant]:
        grants: list[Grant] = []
        unfit: list[int] = []
        for _ in range(min(len(self._returned), SCAN)):
            if len(grants) == limit:
                break
            index = self._returned.popleft()
            if self.items.states[index] != State.PENDING:
                continue
            if self._blame.fits(index, holder.name, self.holders.values()):
                grants.append(self._grant(holder, index, now_s))
            else:
                unfit.append(index)
        self._returned.extendleft(reversed(unfit))
        return grants

    def _answer(self, index: int, state: State, effect: Effect, *, alone: bool = False) -> Settled:
        # Asking every node is for the few items with copies; `alone`: the last copy has just come back.
        copies = () if alone or self.items.states[index] != State.LEASED else self._held_by(index)
        for node in copies:
            del self.holders[node].holding[index]
        self._copies.pop(index, None)
        self._blame.forget(index)
        self.items.move(index, state)
        return Settled(effect, copies)

    def _failed(self, node: str, index: int, *, alone: bool) -> Settled:
        times = self._blame.failed(index, node)
        if self._blame.is_bad(index):
            return self._answer(index, State.QUARANTINED, Effect.QUARANTINED, alone=alone)
        if times >= self.attempts:
            return self._answer(index, State.FAILED, Effect.FAILED, alone=alone)
        self._give_back(index)
        return Settled(Effect.RETRY)

    def _forgive(self, node: str, holder: Holder) -> list[int]:
        self._blame.forgive(node)
        again = self.reopen(dict.fromkeys(holder.failed_here))
        holder.failed_here.clear()
        return again
