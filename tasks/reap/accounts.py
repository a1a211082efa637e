"""What stands at the vendors and was made by anybody's Gaxx."""

import concurrent.futures
import dataclasses

from components.errors import GaxxError
from components.vendors import KINDS, TOKENS, Found, Kind, Vendor, vendor


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A vendor's answer."""

    cloud: str
    found: tuple[Found, ...]
    faults: tuple[str, ...]
    """What could not be asked; one entry a kind of thing."""


def ask() -> list[Asked]:
    """Ask each vendor whose token is in the environment, all at once. Raise Refused for an unsafe address of one."""
    apis = [api for api in map(vendor, TOKENS) if api is not None]
    with concurrent.futures.ThreadPoolExecutor(max(1, len(apis))) as pool:
        return list(pool.map(_ask, apis))


def _ask(api: Vendor) -> Asked:
    found: list[Found] = []
    faults: list[str] = []
    for kind in KINDS:
        entries, fault = _list(api, kind)
        found += [entry for entry in entries if entry.is_tagged]
        faults += [fault] if fault else []
    return Asked(api.name, tuple(found), tuple(faults))


def _list(api: Vendor, kind: Kind) -> tuple[list[Found], str]:
    try:
        return api.all(kind), ""
    except GaxxError as error:
        return [], error.message
    except (KeyError, TypeError, ValueError) as error:
        # Not what the vendor documents: nothing is concluded from it.
        return [], f"{api.name}: its list of {kind}s cannot be read ({type(error).__name__}: {error})"
