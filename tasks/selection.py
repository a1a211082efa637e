"""Which nodes a command is about: ClusterShell's NodeSet algebra over the nodes of one inventory.

`render-[1-4],@gpu!render-2`: groups are the fleets and the groups that the inventory names, and `@*` is all.
"""

import collections.abc

from ClusterShell.NodeSet import NodeSet, NodeSetException
from ClusterShell.NodeUtils import GroupResolver, GroupSource

from components.errors import GaxxError
from components.inventory import Inventory, Node


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
    # No resolver: a name is data here, never an expression to be looked up.
    return str(NodeSet.fromlist(list(names)))


def _resolver(inventory: Inventory) -> GroupResolver:
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
