"""Where each item is and how often it was handed out: two bytes an item, and their sums."""

from tasks.work.ledger import Ledger
from tasks.work.states import State

MAX_ATTEMPT = 255


class ItemTable:
    """The items 0 … count-1."""

    def __init__(self) -> None:
        self.states = bytearray()
        """To be read; `move` writes."""
        self.attempts = bytearray()
        self._numbers = [0] * len(State)

    @property
    def count(self) -> int:
        """Items known so far."""
        return len(self.states)

    @property
    def answered(self) -> int:
        """How many items have their answer."""
        return self.count - self._numbers[State.PENDING] - self._numbers[State.LEASED]

    def number(self, state: State) -> int:
        """How many items are in `state`."""
        return self._numbers[state]

    def ledger(self, *, interrupted: bool = False) -> Ledger:
        """Sum up; what has no answer is cancelled when the user interrupted the run, else skipped."""
        unanswered = self.count - self.answered
        return Ledger(
            total=self.count,
            ok=self._numbers[State.OK],
            failed=self._numbers[State.FAILED],
            quarantined=self._numbers[State.QUARANTINED],
            skipped=0 if interrupted else unanswered,
            cancelled=self._numbers[State.CANCELLED] + (unanswered if interrupted else 0),
        )

    def state(self, index: int) -> State:
        """Where one item is."""
        return State(self.states[index])

    def grow(self, count: int) -> None:
        """So many more items are known."""
        self.states.extend(bytes(count))
        self.attempts.extend(bytes(count))
        self._numbers[State.PENDING] += count

    def move(self, index: int, state: State) -> None:
        """Put an item into another state."""
        self._numbers[self.states[index]] -= 1
        self.states[index] = state
        self._numbers[state] += 1

    def begin_attempt(self, index: int) -> int:
        """Count one more attempt of an item and return its number; at the limit it is counted no further."""
        attempt = min(self.attempts[index] + 1, MAX_ATTEMPT)
        self.attempts[index] = attempt
        return attempt

    def lease_untouched(self, start: int, stop: int) -> bool:
        """Begin the first attempt of all items in a range, if none of them was ever touched; return whether so.

        Nearly every lease of a run takes this way, so it has no step for each item that can be one for all.
        """
        size = stop - start
        untouched = bytes(size)
        if self.states[start:stop] != untouched or self.attempts[start:stop] != untouched:
            return False
        self.states[start:stop] = bytes((State.LEASED,)) * size
        self.attempts[start:stop] = b"\x01" * size
        self._numbers[State.PENDING] -= size
        self._numbers[State.LEASED] += size
        return True
