"""Which nodes a command is about: ClusterShell's NodeSet algebra over the nodes of one inventory.

`render-[1-4],@gpu!render-2`: groups are the fleets and the groups that the inventory names, and `@*` is all.
"""

import collections.abc
import itertools
import re
import typing

from components.errors import GaxxError
from components.inventory import Inventory, Node

if typing.TYPE_CHECKING:
    from ClusterShell.NodeUtils import GroupResolver

# ClusterShell is loaded where an expression needs it: most commands go to all nodes, and time counts.
_PLAIN = re.compile(r"(.*\D)([1-9][0-9]{0,8})", re.ASCII)


class UnknownNodeError(GaxxError):
    """The selection names a node or a group that the inventory has not."""


def groups_of(inventory: Inventory) -> dict[str, tuple[str, ...]]:
    """Every group with the names of its nodes: the fleets first, then the declared groups."""
    members: dict[str, list[str]] = {}
    for node in inventory.nodes:
        for group in dict.fromkeys((node.fleet, *node.groups)):
            members.setdefault(group, []).append(node.name)
    return {group: tuple(names) for group, names in members.items()}


def select(inventory: Inventory, expression: str = "") -> tuple[Node, ...]:
    """Return the nodes that `expression` names, in the order of their fleets and indexes; "" is all.

    Raise GaxxError when it cannot be parsed, or names a node or group that the stack has not.
    """
    nodes = sorted(inventory.nodes, key=lambda node: (node.fleet, node.index))
    if not expression:
        return tuple(nodes)
    from ClusterShell.NodeSet import NodeSet, NodeSetException

    resolver = _resolver(inventory)
    try:
        wanted = NodeSet(expression, resolver=resolver)
    except NodeSetException as error:
        message = f"-n {expression}: {error}"
        raise GaxxError(message, hint=_known(inventory)) from error
    by_name = {node.name: node for node in nodes}
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        away = set(unknown) & set(inventory.missing)
        why = "declared, but not enrolled" if away == set(unknown) else f"not a node of stack {inventory.stack}"
        message = f"-n {expression}: {fold_names(unknown)}: {why}"
        raise UnknownNodeError(message, hint=_known(inventory))
    empty = _unknown_groups(expression, inventory)
    if empty:
        message = f"-n {expression}: no group {', '.join(empty)} in stack {inventory.stack}"
        raise UnknownNodeError(message, hint=_known(inventory))
    if not wanted:
        message = f"-n {expression}: selects no node"
        raise GaxxError(message, hint=_known(inventory))
    return tuple(node for node in nodes if node.name in wanted)


def fold_names(names: collections.abc.Iterable[str]) -> str:
    """Write names as a node set: demo-1, demo-2, demo-3 is demo-[1-3]."""
    listed = list(names)
    numbers: dict[str, set[int]] = {}
    for name in listed:
        parts = _PLAIN.fullmatch(name)
        if parts is None or any(sign in name for sign in "[],@!&^% \t\n"):
            from ClusterShell.NodeSet import NodeSet

            # No resolver: a name is data here, never an expression to be looked up.
            return str(NodeSet.fromlist(listed))
        numbers.setdefault(parts[1], set()).add(int(parts[2]))
    return ",".join(f"{prefix}{_ranges(found)}" for prefix, found in sorted(numbers.items()))


def _ranges(numbers: set[int]) -> str:
    if len(numbers) == 1:
        return str(next(iter(numbers)))
    # What stands in a row has one difference between value and position.
    rows = itertools.groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0])
    texts = []
    for _, row in rows:
        members = [number for _, number in row]
        texts.append(str(members[0]) if len(members) == 1 else f"{members[0]}-{members[-1]}")
    return f"[{','.join(texts)}]"


def _resolver(inventory: Inventory) -> "GroupResolver":
    from ClusterShell.NodeUtils import GroupResolver, GroupSource

    groups = {group: ",".join(names) for group, names in groups_of(inventory).items()}
    everyone = ",".join(node.name for node in inventory.nodes)
    return GroupResolver(GroupSource("stack", groups, everyone))


def _unknown_groups(expression: str, inventory: Inventory) -> list[str]:
    # ClusterShell takes an unknown group for an empty one: a misspelt @gpu would silently shrink the selection.
    known = groups_of(inventory)
    named: list[str] = []
    rest = expression
    while "@" in rest:
        rest = rest.split("@", 1)[1]
        name = rest
        for end in ",!&^ ":
            name = name.split(end, 1)[0]
        named.append(name)
    plain = [name for name in named if name and not set(name) & set("*?[]:@")]
    return [f"@{name}" for name in plain if name not in known]


def _known(inventory: Inventory) -> str:
    if not inventory.nodes:
        return f"stack {inventory.stack} has no nodes"
    nodes = fold_names(node.name for node in inventory.nodes)
    groups = " ".join(f"@{group}" for group in groups_of(inventory))
    return f"there are {nodes} and {groups}"
