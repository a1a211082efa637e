"""How a process knows that a vendor's API is a rehearsal on this computer. Pure.

`gaxx rehearse` answers as the vendors' APIs do and boots local nodes. Those are reached unlike machines of a
vendor: by another port, user and path. GAXX_REHEARSAL names the folder where they live; it is believed only of
machines whose address is this computer's own.
"""

import dataclasses
import ipaddress
import os
import urllib.parse

from components.errors import Refused
from components.places import local_account
from components.ports import Port

VARIABLE = "GAXX_REHEARSAL"
VULTR_URL = "GAXX_VULTR_URL"
"""Where Vultr's API is rehearsed; the vendor's own plugin knows one address only."""
HELPER = "usr/local/sbin/gaxx-enrol"


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """How a machine is entered for its enrolment."""

    ssh_port: int
    ssh_user: str
    helper: str


def access(machine_id: str, address: str) -> Access | None:
    """How to enter a rehearsed machine; None when nothing is rehearsed. Raise Refused for one that is elsewhere."""
    folder = os.environ.get(VARIABLE, "")
    if not folder:
        return None
    if not is_loopback(address):
        message = f"{VARIABLE} is set, but the machine {machine_id} is at {address}, which is not this computer"
        raise Refused(message, hint=f"unset {VARIABLE} to work with a real cloud")
    return Access(int(Port.LOCAL_SSH), local_account().name, f"{folder}/{machine_id}/{HELPER}")


def is_loopback(host: str) -> bool:
    """Whether an address is this computer's own; names are not, whatever they resolve to."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def checked_url(variable: str, default: str) -> str:
    """The base address of an API; raise Refused when a token would travel there in the clear."""
    url = os.environ.get(variable) or default
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        message = f"{variable} is {url}: a token would travel in the clear"
        raise Refused(message, hint="https, or http on a loopback address, is accepted")
    return url.rstrip("/")
