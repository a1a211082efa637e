"""What to think of nodes that refuse us: that the inventory is old, that it is being changed, or that they mean it."""

import asyncio
import collections.abc
import time

from components.errors import GaxxError
from components.inventory import Inventory
from tasks import inventory
from tasks.inventory import Stack

ASK_AGAIN_S = 10.0
PATIENCE_S = 180.0
"""Between the moment in which an update gives a node other keys and the one in which it tells the inventory lies the
rest of the update."""
_CALM_S = 5.0
"""Nobody has refused for so long: whoever does so later has another reason."""


class Doubt:
    """Asks Pulumi for the inventory when nodes refuse what the known one says of us."""

    def __init__(self, stack: Stack, note: collections.abc.Callable[[str], None]) -> None:
        self._stack, self._note = stack, note
        self._asking: asyncio.Task[None] | None = None
        self._since_s = self._asked_s = self._refused_s = 0.0
        self._settled = False
        self.hoping = False
        """Whether somebody who refuses now may not do so in a moment."""
        self.answered = False
        """Whether there is an answer that nobody has looked at; whoever does sets it back."""

    def look(self, known: Inventory, *, refused: bool) -> None:
        """Go on asking while `refused`, with `known` in hand: called at every tick."""
        now_s = time.monotonic()
        if not refused:
            # A node that is tried again has not refused again yet.
            if now_s - self._refused_s > _CALM_S:
                self._since_s, self._settled, self.hoping = 0.0, False, False
            return
        self._refused_s = now_s
        if self._settled or (self._asking is not None and not self._asking.done()):
            return
        if not self._since_s:
            self._since_s = now_s
            self._note("some nodes do not know us: asking Pulumi whether the cached inventory is old")
        elif now_s - self._since_s > PATIENCE_S:
            self._settled, self.hoping = True, False
            return
        elif now_s - self._asked_s < ASK_AGAIN_S:
            return
        self._asked_s = now_s
        self.hoping = True
        self._asking = asyncio.create_task(self._ask(known))

    async def _ask(self, known: Inventory) -> None:
        try:
            found = await asyncio.to_thread(inventory.fetch, self._stack)
        except GaxxError as error:
            self._note(f"the inventory could not be fetched again: {error.message}")
            self._settled, self.hoping = True, False
            return
        if found.inventory == known:
            # It says that the nodes know us, and they do not: they are ahead of it.
            self._note("the stack knows no newer keys yet: waiting for an update that may be under way")
        self.answered = True
