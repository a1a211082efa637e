"""Machines that a failed create left at a vendor: an update that goes on without them leaves nobody paying for them."""

from tasks.inventory import Stack
from tasks.reap import removal
from tasks.reap.removal import Done, Say
from tasks.reap.survey import Wishes, survey


def remove(stack: Stack, say: Say) -> list[Done]:
    """Delete the stack's machines that its state does not know. Raise GaxxError when nobody can say which."""
    # Nobody is making any: the update has just ended, and another would hold the lock.
    found = survey(stack.root, Wishes(stack=stack.name, grace_s=0.0, ask_nodes=False, this_computer=False))
    return [removal.delete(found, thing, say) for thing in found.orphans if thing.found.kind == "machine"]
