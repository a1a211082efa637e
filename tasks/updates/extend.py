"""More time for a stack that is up: its `gaxx:ttl` grows, and `up` tells every machine."""

from components.errors import GaxxError
from components.settings_reader import format_duration, parse_duration
from tasks import declared, inventory, listing, stack_files
from tasks.inventory import Stack
from tasks.pulumi_cli import pulumi
from tasks.updates.changing import Tell, Up, restored, saying


def extend(stack: Stack, by: str, up: Up, tell: Tell) -> None:
    """Let the stack live longer by a duration (30m, 4h, 2d).

    Raise GaxxError, with the stack file as it was, when the duration or the new time to live cannot be, or the user
    does not want the update; and, with the new one in it, when the update fails: another `up` goes on.
    """
    try:
        by_s = parse_duration(by)
    except ValueError as error:
        raise GaxxError(str(error)) from error
    key = f"{stack.project}:ttl"
    file = stack_files.path_of(stack.root, stack.name)
    before_s = declared.settings_of(stack).ttl_s
    if not before_s:
        message = f"{file}: no {key}, so the machines have no end"
        raise GaxxError(message)
    before, after = format_duration(before_s), format_duration(before_s + by_s)
    # The longest that is accepted is the settings' to know: refused before anything is written.
    declared.settings_of(stack, ttl=after)
    with restored(file):
        pulumi(["config", "set", "--stack", stack.name, key, after], stack.root)
        tell(f"{key}: {before} -> {after}")
        with saying(f"{file} keeps {key}: {after}; `gaxx up` applies it", tell):
            up()
    ends = sorted(node.expires for node in inventory.find(stack).inventory.nodes if node.expires)
    if ends:
        tell(f"the first machine ends at {ends[0]}, {listing.left(ends[0])} from now")
