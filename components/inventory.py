"""The inventory: what a stack's machines are and how to reach them; the contract between stack and tasks.

Plain data, no Pulumi import. The stack exports it as the secret output `inventory` (it holds the
operators' bearer tokens); the provider caches it in a 0600 file so that `gaxx run` need not start Pulumi.
"""

import json
import typing

from components.errors import GaxxError, InventoryError

if typing.TYPE_CHECKING:
    from components.jump_host import JumpHost

INVENTORY_VERSION = 1
Reach = typing.Literal["direct", "ssh"]
Role = typing.Literal["operator", "observer"]


class Node(typing.NamedTuple):
    """One enrolled machine, as a controller needs to know it."""

    name: str
    """Unique in the stack: `<fleet>-<index>`."""
    fleet: str
    index: int  # type: ignore[assignment] # before a tuple's own method, which nobody needs of a node
    """From 1."""
    cloud: str
    region: str
    type: str
    image: str
    machine_id: str
    """The cloud's own id of the machine."""
    address: str
    """Where the agent listens; for `reach: ssh` as the node sees itself."""
    reach: Reach
    ssh_host: str
    ssh_port: int
    ssh_user: str
    ssh_host_keys: tuple[str, ...]
    """Public keys in OpenSSH's form, without comment; anything else the node presents is refused."""
    agent_port: int
    metrics_port: int
    tls_name: str
    """The DNS name in the node's certificate; checked on every call."""
    slots: int
    """How many items it executes at once."""
    groups: tuple[str, ...]
    created: str
    """RFC 3339, UTC."""
    expires: str
    """RFC 3339, UTC; empty where the stack has no TTL."""
    agent_build: str
    """sha256 of the agent bundle that enrolment installed."""
    jump_host: str = ""
    """[user@]host[:port] through which its sshd is reached; empty: none."""

    @property
    def jump(self) -> "JumpHost | None":
        """The jump host; None where its sshd is reached directly. Raises GaxxError when it is none."""
        if not self.jump_host:
            return None
        from components.jump_host import JumpHost  # most commands start without

        return JumpHost.parse(self.jump_host)


class Principal(typing.NamedTuple):
    """An operator or observer whom the nodes know."""

    name: str
    role: Role
    certificate: str
    """PEM, issued by the stack's authority for the key of the operator's CSR."""
    key_sha256: str
    """Hex sha256 of the DER SubjectPublicKeyInfo: how a controller finds itself in the list."""
    token: str
    """The bearer token. Secret."""

    def __repr__(self) -> str:
        """Show whom it is about, and no token."""
        return f"{type(self).__name__}(name={self.name!r}, role={self.role!r}, key_sha256={self.key_sha256!r})"


class Inventory(typing.NamedTuple):
    """Everything a controller needs to work with a stack."""

    project: str
    stack: str
    backend_id: str
    authority_certificate: str
    """PEM of the stack's authority: the only root that the nodes' certificates are checked against."""
    nodes: tuple[Node, ...]
    principals: tuple[Principal, ...]
    missing: tuple[str, ...] = ()
    """Names of declared nodes that are not enrolled (`enough: k`)."""
    version: int = INVENTORY_VERSION

    def to_json(self) -> str:
        """Serialise with sorted keys: the same inventory is the same bytes."""
        records = {name: [entry._asdict() for entry in getattr(self, name)] for name in ("nodes", "principals")}
        return json.dumps({**self._asdict(), **records}, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Inventory":
        """Parse what `to_json` wrote; raise InventoryError when it is something else or another version."""
        try:
            data = json.loads(text)
        except ValueError as error:
            message = f"the inventory is not JSON: {error}"
            raise InventoryError(message) from error
        return cls.from_dict(data)

    @classmethod
    def from_dict(cls, data: object) -> "Inventory":
        """Build from the decoded stack output; raise InventoryError naming what is wrong."""
        if not isinstance(data, dict):
            message = f"the inventory is a {type(data).__name__}, not an object"
            raise InventoryError(message)
        version = data.get("version")
        if version != INVENTORY_VERSION:
            message = f"the inventory has version {version!r}; this gaxx reads version {INVENTORY_VERSION}"
            raise InventoryError(message, hint="run `pulumi up` with this version of gaxx")
        try:
            fields = dict(data)
            fields["nodes"] = _records(Node, data["nodes"])
            fields["principals"] = _records(Principal, data["principals"])
            fields["missing"] = tuple(data.get("missing", ()))
            for node in fields["nodes"]:
                # Not only where it is used: what it is becomes words of a command.
                _ = node.jump
            return cls(**fields)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            message = f"the inventory lacks or has an unknown field: {error}"
            raise InventoryError(message, hint="run `pulumi up` with this version of gaxx") from error
        except GaxxError as error:
            message = f"the inventory has a jump host that is none: {error.message}"
            raise InventoryError(message) from error


T = typing.TypeVar("T")


def _records(cls: type[T], entries: list[dict[str, typing.Any]]) -> tuple[T, ...]:
    # JSON has no tuples, and the engine hands every number on as a float.
    integers = {name for name, kind in typing.get_type_hints(cls).items() if kind is int}

    def plain(name: str, value: object) -> object:
        if isinstance(value, list):
            return tuple(value)
        return int(typing.cast("float", value)) if name in integers else value

    return tuple(cls(**{name: plain(name, value) for name, value in entry.items()}) for entry in entries)
