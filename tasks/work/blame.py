"""Whose fault it is: on which nodes an item failed, and how many nodes were lost under it."""

import collections
import collections.abc

from tasks.work.holder import Holder

QUARANTINE_NODES = 2
"""An item that failed on so many different nodes is bad, not they."""
LOSS_LIMIT = 8
"""An item under which so many nodes were lost is given up: it might be what kills them."""


class Blame:
    """Kept only of items that wait for another attempt: bounded by what failed, not by the input."""

    def __init__(self) -> None:
        self._failed_on: dict[int, list[str]] = {}
        self._losses: collections.Counter[int] = collections.Counter()

    def remember(self, index: int, nodes: collections.abc.Sequence[str]) -> None:
        """Set where an item failed in earlier sessions, once for each time."""
        self._failed_on[index] = list(nodes)

    def failed(self, index: int, node: str) -> int:
        """An item failed on a node; return how often it has by now."""
        nodes = self._failed_on.setdefault(index, [])
        nodes.append(node)
        return len(nodes)

    def is_bad(self, index: int) -> bool:
        """Whether it failed on so many different nodes that it is the item's fault."""
        return len(set(self._failed_on.get(index, ()))) >= QUARANTINE_NODES

    def has_failed(self, index: int, node: str) -> bool:
        """Whether an item failed on this node."""
        return node in self._failed_on.get(index, ())

    def fits(self, index: int, node: str, holders: collections.abc.Iterable[Holder]) -> bool:
        """Whether a node may try an item: not where it failed, as long as one is left on which it has not."""
        nodes = self._failed_on.get(index)
        if not nodes or node not in nodes:
            return True
        return nodes.count(node) <= min(
            (nodes.count(holder.name) for holder in holders if holder.takes_work), default=0
        )

    def lost(self, index: int) -> None:
        """A node was lost under an item."""
        self._losses[index] += 1

    def lost_too_often(self) -> list[int]:
        """The items under which too many nodes were lost."""
        return [index for index, losses in self._losses.items() if losses >= LOSS_LIMIT]

    def forget(self, index: int) -> None:
        """An item has its answer."""
        self._failed_on.pop(index, None)
        self._losses.pop(index, None)

    def forgive(self, node: str) -> None:
        """What failed on this node failed because of it."""
        for index in list(self._failed_on):
            left = [name for name in self._failed_on[index] if name != node]
            if left:
                self._failed_on[index] = left
            else:
                del self._failed_on[index]
