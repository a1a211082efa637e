"""Names: from stack, fleet and index to whatever a cloud, a certificate or a firewall calls a machine. Pure."""

import dataclasses
import hashlib
import re

TLS_DOMAIN = "gaxx"
TAG_PREFIX = "gaxx:"

_LABEL_LIMIT = 63
"""DNS, and below the 64 that Linode's labels may have."""
_MACHINE_LABEL_LIMIT = _LABEL_LIMIT - 5
"""Leaves room for what tells two tries to make the same machine apart."""
_FIREWALL_LABEL_LIMIT = 32 - 5
_TAG_LIMIT = 50
"""Linode's: 3 to 50 characters."""
_DIGEST_DIGITS = 8
_TAG = re.compile(r"gaxx:([a-z]+)=(.*)", re.DOTALL)


@dataclasses.dataclass(frozen=True, slots=True)
class Tags:
    """What a machine's tags say: whose it is and how long it may live."""

    project: str
    backend_id: str
    stack: str
    fleet: str
    index: int
    ttl: str
    """As the stack declares it (4h); empty: none."""
    owner: str


_FIELDS = ("project", "backend", "stack", "fleet", "index", "ttl", "owner")


def node_name(fleet: str, index: int) -> str:
    """A node's name: unique in its stack, folded by NodeSets."""
    return f"{fleet}-{index}"


def tls_name(node: str, stack: str) -> str:
    """The DNS name in a node's certificate; nothing resolves it."""
    return f"{node}.{dns_label(stack)}.{TLS_DOMAIN}"


def dns_label(text: str) -> str:
    """Fit any text into one DNS label; what had to be changed carries a digest, so that no two become one."""
    return _fitted(text, _LABEL_LIMIT)


def machine_label(*, project: str, backend_id: str, stack: str, fleet: str, index: int) -> str:
    """A cloud's label and host name of a machine, unique in an account that several projects share."""
    digest = _digest(backend_id, project, stack)
    ending = f"-{node_name(fleet, index)}-{digest}"
    return f"{_fitted(stack, _MACHINE_LABEL_LIMIT - len(ending))}{ending}"


def firewall_label(*, project: str, backend_id: str, stack: str, fleet: str) -> str:
    """A cloud's label of a fleet's firewall: 3 to 27 characters, of the 32 that Linode allows."""
    return _fitted(fleet, _FIREWALL_LABEL_LIMIT - _DIGEST_DIGITS - 1) + "-" + _digest(backend_id, project, stack)


def network_name(fleet: str, region: str, cidr: str) -> str:
    """The name of a fleet's private network in a region: with other addresses it is another one."""
    return f"{fleet}-{region}-{cidr.replace('/', '-')}"


def network_label(*, project: str, backend_id: str, stack: str, fleet: str, region: str, cidr: str) -> str:
    """A cloud's label of a fleet's private network in a region: as long as a machine's at most, of DNS's alphabet."""
    digest = _digest(backend_id, project, stack, cidr)
    return f"{_fitted(f'{fleet}-{region}', _MACHINE_LABEL_LIMIT - len(digest) - 1)}-{digest}"


def tags(*, project: str, backend_id: str, stack: str, fleet: str, index: int, ttl: str, owner: str) -> tuple[str, ...]:
    """The tags of a machine, given in the call that creates it; sorted, nothing in them that is known only later."""
    values = (project, backend_id, stack, fleet, str(index), ttl, owner)
    return tuple(sorted(_tag(key, value) for key, value in zip(_FIELDS, values, strict=True)))


def fleet_tags(*, project: str, backend_id: str, stack: str, fleet: str) -> tuple[str, ...]:
    """The tags of what all machines of a fleet share, its firewall; sorted."""
    values = zip(_FIELDS, (project, backend_id, stack, fleet), strict=False)
    return tuple(sorted(_tag(key, value) for key, value in values))


def parse_tags(found: "tuple[str, ...] | list[str]") -> Tags | None:
    """Read a machine's tags back; None when it is not one of ours. Foreign tags beside ours are ignored."""
    values = {match.group(1): match.group(2) for match in map(_TAG.fullmatch, found) if match}
    if not all(key in values for key in _FIELDS) or not values["index"].isascii() or not values["index"].isdigit():
        return None
    return Tags(
        project=values["project"],
        backend_id=values["backend"],
        stack=values["stack"],
        fleet=values["fleet"],
        index=int(values["index"]),
        ttl=values["ttl"],
        owner=values["owner"],
    )


def tag_value(key: str, value: str) -> str:
    """The value as it stands in a tag: shortened with a digest where a cloud's tag could not hold it."""
    return _tag(key, value).split("=", 1)[1]


def _tag(key: str, value: str) -> str:
    prefix = f"{TAG_PREFIX}{key}="
    room = _TAG_LIMIT - len(prefix)
    clean = re.sub(r"[^A-Za-z0-9_.@+/-]", "-", value)
    if clean != value or len(clean) > room:
        clean = f"{clean[: room - _DIGEST_DIGITS - 1]}-{_digest(value)}"
    return prefix + clean


def _fitted(text: str, limit: int) -> str:
    clean = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if clean == text and len(clean) <= limit:
        return clean
    return f"{clean[: limit - _DIGEST_DIGITS - 1].strip('-')}-{_digest(text)}".lstrip("-")


def _digest(*parts: str) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:_DIGEST_DIGITS]
