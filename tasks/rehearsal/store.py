"""What there is in a rehearsal: instances, firewalls, networks, keys, events. Pure: nothing boots here.

Both vendors' calls work on it; each instance says which vendor's it is.
"""

import dataclasses
import itertools
import secrets
import typing
import uuid
from collections.abc import Callable

_SPAN = 20_000
"""So many numbers a session has for itself."""
_SESSIONS = 100_000

Vendor = typing.Literal["linode", "vultr"]
Phase = typing.Literal["provisioning", "booting", "running", "deleting"]
Attributes = dict[str, typing.Any]


class ApiError(Exception):
    """A call is refused: HTTP's status, and the vendor's reason."""

    def __init__(self, status: int, reason: str, *, field: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.field = field


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """How long things take at the vendor, in seconds, beyond what the local node itself takes."""

    provision_s: float
    boot_s: float
    delete_s: float
    slow_boot_s: float


FAST = Pace(provision_s=0.2, boot_s=0.2, delete_s=0.0, slow_boot_s=8.0)
REAL = Pace(provision_s=8.0, boot_s=20.0, delete_s=4.0, slow_boot_s=180.0)


@dataclasses.dataclass(slots=True)
class Instance:
    """A machine of the account."""

    vendor: Vendor
    id: str
    slot: int
    """Which of the rehearsal's addresses it has, from 1; free again once it is gone."""
    created: float
    label: str
    tags: list[str]
    region: str
    type: str
    image: str
    firewall: str
    """Id of its firewall; empty: none."""
    user_data: str = dataclasses.field(repr=False)
    """Decoded."""
    attributes: Attributes
    """What the vendor's answers need beyond that."""
    provisioned_at: float
    ready_at: float
    """Not before this; float("inf"): never."""
    address: str = ""
    up: bool = False
    """Whether its local node runs."""
    held: bool = False
    """Whether the local node, or something of it, still has the address."""
    mute: bool = False
    """Whether it runs and answers nobody."""
    gone_at: float | None = None
    """When a deleted one vanishes from the lists."""
    updated: float = 0.0

    def phase(self, now: float) -> Phase:
        """How far it is."""
        if self.gone_at is not None:
            return "deleting"
        if now < self.provisioned_at:
            return "provisioning"
        return "running" if self.up and now >= self.ready_at else "booting"


@dataclasses.dataclass(slots=True)
class Firewall:
    """A Linode firewall, or a Vultr firewall group."""

    vendor: Vendor
    id: str
    label: str
    tags: list[str]
    created: float
    updated: float
    attributes: Attributes
    """Linode: rules as a whole. Vultr: rules by number."""


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to a Linode."""

    id: int
    action: str
    entity: str
    label: str
    created: float
    finished_at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """An instance that is to be made; checked already."""

    vendor: Vendor
    label: str
    tags: list[str]
    region: str
    type: str
    image: str
    firewall: str
    user_data: str = dataclasses.field(repr=False)
    attributes: Attributes = dataclasses.field(default_factory=dict)


class Store:
    """One account at each vendor."""

    def __init__(self, clock: Callable[[], float], pace: Pace) -> None:
        self.clock = clock
        self._pace = pace
        # Elsewhere in each session: a local node's processes are found by its machine's id, and other rehearsals on
        # this computer have nodes of the same account.
        self._numbers = itertools.count(10_000_000 + _SPAN * secrets.randbelow(_SESSIONS))
        self._instances: dict[str, Instance] = {}
        self.firewalls: dict[str, Firewall] = {}
        self.events: list[Event] = []
        self.things: dict[tuple[Vendor, str], dict[str, Attributes]] = {}
        """VPCs, subnets, SSH keys: by vendor and kind, then by id."""

    def number(self) -> int:
        """A new number; Linode's ids are numbers."""
        return next(self._numbers)

    def new_id(self, vendor: Vendor) -> str:
        """A new id in the vendor's manner."""
        return str(self.number()) if vendor == "linode" else str(uuid.uuid4())

    def kind(self, vendor: Vendor, kind: str) -> dict[str, Attributes]:
        """Everything of one kind that has no life of its own."""
        return self.things.setdefault((vendor, kind), {})

    def create(self, order: Order, *, slow: bool = False, never: bool = False, mute: bool = False) -> Instance:
        """Make an instance; it boots elsewhere."""
        now = self.clock()
        taken = {one.slot for one in self._instances.values() if one.held or not self._vanished(one)}
        provisioned_at = now + self._pace.provision_s
        boot_s = self._pace.slow_boot_s if slow else self._pace.boot_s
        instance = Instance(
            vendor=order.vendor,
            id=self.new_id(order.vendor),
            slot=next(slot for slot in itertools.count(1) if slot not in taken),
            created=now,
            label=order.label,
            tags=list(order.tags),
            region=order.region,
            type=order.type,
            image=order.image,
            firewall=order.firewall,
            user_data=order.user_data,
            attributes=dict(order.attributes),
            provisioned_at=provisioned_at,
            ready_at=float("inf") if never else provisioned_at + boot_s,
            updated=now,
            mute=mute,
        )
        self._instances[instance.id] = instance
        return instance

    def instances(self, vendor: Vendor) -> list[Instance]:
        """All of a vendor's that are still listed, oldest first."""
        return [one for one in self._instances.values() if one.vendor == vendor and not self._vanished(one)]

    def instance(self, vendor: Vendor, instance_id: str) -> Instance | None:
        """One that is still there, be it in deletion."""
        found = self._instances.get(instance_id)
        return None if found is None or found.vendor != vendor or self._vanished(found) else found

    def delete(self, instance: Instance, *, late: bool = False) -> None:
        """Begin to delete; it is listed until it has vanished."""
        instance.gone_at = self.clock() + self.delay_s(late=late)
        instance.firewall = ""

    def delay_s(self, *, late: bool) -> float:
        """How long a deletion takes."""
        return self._pace.slow_boot_s if late else self._pace.delete_s

    def log(self, action: str, entity: str, label: str, *, takes_s: float) -> Event:
        """Note an event that is finished after `takes_s`."""
        now = self.clock()
        event = Event(self.number(), action, entity, label, now, now + takes_s)
        self.events.append(event)
        return event

    def machines_behind(self, firewall: Firewall) -> list[Instance]:
        """The instances that a firewall protects."""
        return [one for one in self.instances(firewall.vendor) if one.firewall == firewall.id]

    def left(self) -> dict[str, int]:
        """How many of each kind there are: what a destroyed stack must have brought to nothing."""
        live = [one for one in self._instances.values() if not self._vanished(one)]
        counts = {"instances": len(live), "firewalls": len(self.firewalls)}
        for (_, kind), entries in self.things.items():
            counts[kind] = counts.get(kind, 0) + len(entries)
        return counts

    def _vanished(self, instance: Instance) -> bool:
        return instance.gone_at is not None and self.clock() >= instance.gone_at
