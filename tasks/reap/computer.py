"""What lies on this computer and no state knows: folders of local and QEMU nodes.

The folder of a stack's machines is called by a hash of backend, project and stack (places.stack_key). So whoever
knows a stack's name can prove whose a folder is; names are looked for wherever a stack leaves its name.
"""

import contextlib
import dataclasses
import datetime as dt
import json
import pathlib
from collections.abc import Iterator, Sequence

from components import naming, places
from components.authority import Authority
from components.errors import GaxxError
from components.local_machine import addresses
from components.local_machine.machine import Machine, machines, remove_all
from components.provider import announced_keys
from components.vendors import Found
from tasks.reap.states import HERE, StackState, key
from tasks.reap.verdicts import Whose

_REHEARSAL = "rehearsal-"
"""Folders of `gaxx rehearse`, which tidies up by itself."""
_MANIFEST = "etc/gaxx/manifest.json"


@dataclasses.dataclass(frozen=True, slots=True)
class Lying:
    """A machine's folder."""

    machine: Machine
    stack_key: str
    found: Found
    """Tagged as at a vendor, where it is proven whose it is; else by nobody."""
    stack: str


def look(whose: Whose, states: Sequence[StackState], root: pathlib.Path) -> list[Lying]:
    """Find all machines on this computer."""
    folder = places.nodes_dir()
    if not folder.is_dir():
        return []
    names = {key(whose.backend_id, whose.project, state.name): state.name for state in states}
    found = []
    for place in sorted(folder.iterdir()):
        if not place.is_dir() or place.name.startswith(_REHEARSAL):
            continue
        lying = machines(place.name)
        name = names.get(place.name) or _name(place.name, lying, whose, root)
        found += [_lying(machine, place.name, name, whose) for machine in lying]
    return found


def remove(lying: Lying) -> None:
    """End its processes and delete its folder. Raise NodeError."""
    lying.machine.remove()


def remove_stack(lying: Lying, whose: Whose) -> None:
    """Remove what else a stack that is gone has left: its folder and claims of addresses, and all of `forget_stack`."""
    if machines(lying.stack_key):
        return
    remove_all(lying.stack_key)
    addresses.release(lying.stack_key)
    forget_stack(lying.stack, whose)


def forget_stack(stack: str, whose: Whose) -> None:
    """Remove what this computer keeps of a stack that is gone: its own authority and its inventory."""
    authority = places.authority_file(whose.backend_id, whose.project, stack)
    for path in (authority, places.previous_authority_file(authority)):
        if path.is_file():
            with contextlib.suppress(GaxxError):  # damaged: then nobody can say what it announced
                announced_keys.forget_all(Authority.from_pem(path.read_text()))
            path.unlink()
    cached = places.inventory_cache(whose.backend_id, whose.project, stack)
    for path in (cached, places.known_hosts(cached)):
        path.unlink(missing_ok=True)


def _lying(machine: Machine, stack_key: str, name: str, whose: Whose) -> Lying:
    tags = {"project": whose.project, "backend": whose.backend_id, "stack": name} if name else {}
    created = str((machine.marker() or {}).get("created", ""))
    found = Found(
        "machine",
        machine.id or machine.node,
        machine.node,
        tuple(f"{naming.TAG_PREFIX}{field}={naming.tag_value(field, value)}" for field, value in tags.items()),
        created or _changed(machine.root),
        region=HERE,
    )
    return Lying(machine, stack_key, found, name)


def _changed(folder: pathlib.Path) -> str:
    """When a folder without a whole machine in it was last written to."""
    try:
        return dt.datetime.fromtimestamp(folder.stat().st_mtime, dt.UTC).isoformat(timespec="seconds")
    except FileNotFoundError:
        return ""


def _name(stack_key: str, lying: Sequence[Machine], whose: Whose, root: pathlib.Path) -> str:
    """The name of a stack that is gone, proven by the folder's own; empty: not ours, or not to be told."""
    for name in _candidates(stack_key, lying, root):
        if key(whose.backend_id, whose.project, name) == stack_key:
            return name
    return ""


def _candidates(stack_key: str, lying: Sequence[Machine], root: pathlib.Path) -> Iterator[str]:
    for path in sorted((root / "stacks").glob("Pulumi.*.yaml")):
        yield path.name.removeprefix("Pulumi.").removesuffix(".yaml")
    yield _field(places.cache_dir() / "inventory" / f"{stack_key}.json", "stack")
    for machine in lying:
        # <node>.<stack>.gaxx; a stack's name that had to be fitted into DNS is not found this way.
        parts = _field(machine.root / _MANIFEST, "tlsName").split(".")
        if len(parts) == 3:  # noqa: PLR2004
            yield parts[1]


def _field(path: pathlib.Path, name: str) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(content.get(name, "")) if isinstance(content, dict) else ""
