"""`enough: k` where a cloud refuses a machine: which nodes the next try of an update can do without."""

import collections.abc
import dataclasses
import pathlib

from components import naming
from components.left_out import VARIABLE
from tasks.updates.event_log import of_kind

_MACHINES = {
    "linode:index/instance:Instance": "",
    "vultr:index/instance:Instance": "",
    "gaxx:index:CloudMachine": "-machine",
    "gaxx:index:LocalNode": "",
    "gaxx:index:QemuNode": "",
}
"""Types of machines and of their records, and what their names have behind the node's."""
_MAKING = frozenset({"create", "create-replacement"})


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """An operation of the engine that failed."""

    operation: str
    type: str
    name: str

    @property
    def node(self) -> str:
        """Whose machine could not be made; empty: it was something else."""
        suffix = _MACHINES.get(self.type)
        return self.name.removesuffix(suffix) if suffix is not None and self.operation in _MAKING else ""


def failures(events: pathlib.Path) -> tuple[Failure, ...]:
    """Read the engine's event log."""
    failed = (event["metadata"] for event in of_kind(events, "resOpFailedEvent") if "metadata" in event)
    return tuple(Failure(about["op"], about["type"], about["urn"].rpartition("::")[2]) for about in failed)


def spared(
    fleets: collections.abc.Iterable[collections.abc.Mapping[str, object]],
    failed: collections.abc.Collection[Failure],
    without: frozenset[str],
) -> frozenset[str]:
    """Return all nodes to do without: `without`, which it did without so far, and those whose machines failed.

    `fleets` is as the stack file has it. Nothing when it cannot go on: something else failed, or a fleet has not
    enough without them.
    """
    wanted = without | {failure.node for failure in failed}
    if not failed or "" in wanted or wanted == without:
        return frozenset()
    left = set(wanted)
    for fleet in fleets:
        nodes = int(str(fleet.get("nodes", 1)))
        mine = {naming.node_name(str(fleet.get("name")), index) for index in range(1, nodes + 1)} & wanted
        if mine and nodes - len(mine) < int(str(fleet.get("enough", nodes))):
            return frozenset()
        left -= mine
    return frozenset() if left else wanted


def sentence(nodes: collections.abc.Collection[str]) -> str:
    """What is said before the next try."""
    names = ",".join(sorted(nodes))
    return f"no machine was made for {names}, and enough are left: the update is tried without ({VARIABLE}={names})"
