"""What the stacks of this project on this backend know of: read without a lock, a login of a vendor or a passphrase."""

import collections.abc
import concurrent.futures
import dataclasses
import json
import pathlib
import typing

from components import backend, places
from components.errors import GaxxError
from components.vendors import Kind
from tasks.pulumi_cli import PulumiError, pulumi

AT_ONCE = 4
"""So many exports; each is a process of its own."""

_KINDS: dict[str, tuple[str, Kind]] = {
    "linode:index/instance:Instance": ("linode", "machine"),
    "linode:index/firewall:Firewall": ("linode", "firewall"),
    "linode:index/vpc:Vpc": ("linode", "network"),
    "linode:index/sshKey:SshKey": ("linode", "key"),
    "vultr:index/instance:Instance": ("vultr", "machine"),
    "vultr:index/firewallGroup:FirewallGroup": ("vultr", "firewall"),
    "vultr:index/vpc:Vpc": ("vultr", "network"),
    "vultr:index/sSHKey:SSHKey": ("vultr", "key"),
}
_NODES = frozenset({"gaxx:index:LocalNode", "gaxx:index:QemuNode"})
HERE = "local"
"""Where machines on this computer are, virtual ones too."""
_ENROLMENT = "gaxx:index:Enrolment"


class Known(typing.NamedTuple):
    """Something that a state knows, as it is told apart from all others."""

    cloud: str
    kind: Kind
    id: str


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A node that was enrolled."""

    name: str
    machine_id: str
    expires: str
    """RFC 3339, UTC; empty: never."""
    idle_s: int
    """So long idle and it may go; 0: never."""


@dataclasses.dataclass(frozen=True, slots=True)
class StackState:
    """One stack."""

    name: str
    known: frozenset[Known]
    nodes: tuple[Node, ...]
    locked: bool
    """Whether an update holds it, or has left its lock."""
    fault: str = ""
    """Why it could not be read; then nothing that may be its own can be told from an orphan."""

    @property
    def clouds(self) -> frozenset[str]:
        """Where its things are."""
        return frozenset(known.cloud for known in self.known)


def read(root: pathlib.Path) -> list[StackState]:
    """Read every stack of the project; raise GaxxError when the backend does not name them."""
    project = backend.project_name(root)
    try:
        listed = json.loads(pulumi(["stack", "ls", "--json", "--project", project], root))
    except PulumiError as error:
        message = f"the backend does not name its stacks: {error.message}"
        raise GaxxError(message, hint="nothing was looked for: what is known cannot be told from an orphan") from error
    except ValueError as error:
        message = f"`pulumi stack ls --json` printed no JSON: {error}"
        raise GaxxError(message) from error
    try:
        stacks = {str(entry["name"]).rsplit("/", 1)[-1]: bool(entry.get("updateInProgress")) for entry in listed}
    except (KeyError, TypeError) as error:
        message = f"`pulumi stack ls --json` printed no list of stacks: {error}"
        raise GaxxError(message) from error
    folder = lock_folder(root, project)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return list(
            pool.map(lambda name: _state(root, name, locked=stacks[name] or _is_locked(folder, name)), sorted(stacks))
        )


def lock_folder(root: pathlib.Path, project: str) -> pathlib.Path | None:
    """Where a file backend keeps the locks of a project's stacks; None: a backend that is not looked into."""
    url = backend.current_backend_url(root)
    if not url.startswith("file://"):
        return None
    folder = root / pathlib.Path(url.removeprefix("file://").split("?", 1)[0]).expanduser()
    return folder / ".pulumi" / "locks" / "organization" / project


def of_deployment(name: str, deployment: collections.abc.Mapping[str, typing.Any], *, locked: bool) -> StackState:
    """What an exported deployment knows."""
    known: set[Known] = set()
    nodes = []
    # What is still to be deleted, or was being made, is known too.
    pending = [operation.get("resource") or {} for operation in deployment.get("pending_operations") or ()]
    for resource in (*(deployment.get("resources") or ()), *pending):
        kind, resource_id = str(resource.get("type")), str(resource.get("id") or "")
        if resource_id and kind in _KINDS:
            known.add(Known(*_KINDS[kind], resource_id))
        elif resource_id and kind in _NODES:
            known.add(Known(HERE, "machine", resource_id))
    for resource in deployment.get("resources") or ():
        if resource.get("type") == _ENROLMENT:
            inputs, outputs = resource.get("inputs") or {}, resource.get("outputs") or {}
            nodes.append(
                Node(
                    str(inputs.get("node", "")),
                    str(inputs.get("machineId", "")),
                    str(outputs.get("expires") or ""),
                    int(inputs.get("idleS") or 0),
                )
            )
    return StackState(name, frozenset(known), tuple(nodes), locked)


def key(backend_id: str, project: str, name: str) -> str:
    """The folder of a stack's machines on this computer."""
    return places.stack_key(backend_id, project, name)


def _state(root: pathlib.Path, name: str, *, locked: bool) -> StackState:
    try:
        exported = json.loads(pulumi(["stack", "export", "--stack", name], root))
        # Of a stack that never was up there is none.
        return of_deployment(name, exported["deployment"] or {}, locked=locked)
    except PulumiError as error:
        fault = error.message
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        fault = f"its export cannot be read: {error}"
    return StackState(name, frozenset(), (), locked, fault)


def _is_locked(folder: pathlib.Path | None, name: str) -> bool:
    return folder is not None and any((folder / name).glob("*.json"))
