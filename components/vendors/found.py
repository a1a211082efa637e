"""Something at a vendor, and whose it is. Pure."""

import dataclasses
import datetime as dt
import typing

from components import naming

Kind = typing.Literal["machine", "firewall", "network", "key"]
KINDS: tuple[Kind, ...] = typing.get_args(Kind)
"""In the order in which they can be deleted: what is in use goes after what uses it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """Something at a vendor that carries tags, or what stands for them."""

    kind: Kind
    id: str
    label: str
    tags: tuple[str, ...]
    created: str
    """RFC 3339, UTC; empty where the vendor does not say."""
    running: bool = True
    """Whether it is powered on and made; what is no machine always is."""
    type: str = ""
    region: str = ""
    firewall: str = ""
    """Id of the firewall that a machine is behind, where the vendor says it with the machine."""

    def of(self, *, project: str, backend_id: str, stack: str | None = None) -> bool:
        """Whether it carries the marks of this stack, or of any stack of the project.

        All of them must fit, and each must be there once: what carries marks of two owners is nobody's to delete.
        """
        wanted = {"project": project, "backend": backend_id, **({"stack": stack} if stack is not None else {})}
        return all(self.values(key) == {naming.tag_value(key, value)} for key, value in wanted.items())

    def values(self, key: str) -> set[str]:
        """What its tags say of a key; more than one value is somebody's mistake."""
        prefix = f"{naming.TAG_PREFIX}{key}="
        return {tag.removeprefix(prefix) for tag in self.tags if tag.startswith(prefix)}

    def value(self, key: str) -> str:
        """What its tags say of a key; empty when they do not, or not clearly."""
        values = self.values(key)
        return values.pop() if len(values) == 1 else ""

    @property
    def is_tagged(self) -> bool:
        """Whether anybody's Gaxx made it."""
        return any(tag.startswith(naming.TAG_PREFIX) for tag in self.tags)


def words(*texts: str | None) -> tuple[str, ...]:
    """Our tags in free text: a description or a name, where a vendor has no tags."""
    return tuple(word for text in texts for word in (text or "").split() if word.startswith(naming.TAG_PREFIX))


def utc(text: str | None) -> str:
    """A vendor's time as RFC 3339 in UTC."""
    if not text:
        return ""
    moment = dt.datetime.fromisoformat(text)
    # Linode writes its times without a zone, and means UTC.
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).astimezone(dt.UTC).isoformat(timespec="seconds")
