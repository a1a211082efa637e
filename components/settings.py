"""Stack configuration into one frozen value: read once, at the edge, with all faults told together.

    components/operators, components/fleet_settings   the parts (and declared_content of a fleet)
    components/cloud_table                            defaults and limits of each cloud
    components/cidrs                                  what is too open

The hard rules hold here as well as in the policy pack: packs are opt-in per command, and what is unknown
at preview turns them into advice.
"""

import dataclasses
import re
from collections.abc import Mapping

from components.authority import Authority
from components.cloud_table import Cloud
from components.declared_content import FileSpec
from components.errors import GaxxError, SettingsError
from components.fleet_settings import FleetSettings, read_fleet
from components.jump_host import JumpHost
from components.operators import OperatorSettings, read_operators
from components.ports import Port
from components.settings_reader import Faults, Reader, format_duration, parse_duration, shown

__all__ = [
    "KEYS",
    "Cloud",
    "FileSpec",
    "FleetSettings",
    "Key",
    "OperatorSettings",
    "Settings",
    "format_duration",
    "parse_duration",
    "parse_settings",
]

DAY_S = 86400
_MAX_TTL_S = 7 * DAY_S
_FLEETS_LIMIT = 32
_SERIAL = re.compile(r"[0-9a-f]{1,40}")


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """One key of the stack configuration, for the project file, `gaxx check` and the documentation."""

    name: str
    type: str
    """Pulumi's word: string, integer, array."""
    description: str
    secret: bool = False


KEYS = (
    Key(
        "ttl", "string", "How long the stack may live, from each machine's creation: 30m, 4h, 2d. Paid clouds need it."
    ),
    Key("maxTtl", "string", "The longest ttl that is accepted (default 7d)."),
    Key("authorityKey", "string", "Private key and certificate of the stack's authority, PEM.", secret=True),
    Key("previousAuthorityKey", "string", "What authorityKey takes over from, while it does.", secret=True),
    Key("operators", "array", "Who may use the stack: name, role (operator, observer), sshPublicKey, csr."),
    Key("fleets", "array", "The machines, one entry for those declared together."),
    Key("allowedRegions", "array", "Regions that a paid cloud's fleets may use (data residency)."),
    Key("deniedSerials", "array", "Serials (hex) of operators' certificates that the nodes refuse."),
    Key("tokenGeneration", "integer", "Raise it to give every operator a new bearer token (default 1)."),
    Key("keyGeneration", "integer", "Raise it to give every node new TLS and SSH host keys (default 1)."),
    Key("jumpHost", "string", "The SSH host to reach the nodes' sshd through: [user@]host[:port]."),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """A whole stack as declared. It holds no secret: the authority's key is the provider's to read."""

    project: str
    stack: str
    ttl_s: int
    """From a machine's creation; 0: no limit (free clouds only)."""
    authority_declared: bool
    """Whether `gaxx:authorityKey` is set."""
    operators: tuple[OperatorSettings, ...]
    fleets: tuple[FleetSettings, ...]
    denied_serials: tuple[str, ...]
    """Lower-case hex without leading zeros."""
    allowed_regions: tuple[str, ...]
    """Empty: any."""
    token_generation: int
    key_generation: int
    jump_host: str
    """[user@]host[:port]; empty: none. Fleets on this computer are never reached through it."""

    @property
    def paid(self) -> bool:
        """Whether any fleet costs money."""
        return any(fleet.paid for fleet in self.fleets)


def parse_settings(values: Mapping[str, object], *, project: str, stack: str) -> Settings:
    """Read the `gaxx:*` keys (prefix removed; structured ones decoded or as JSON text).

    Raises SettingsError with every fault, each under its key path.
    """
    faults = Faults()
    reader = Reader(values, faults)
    reader.refuse_unknown(key.name for key in KEYS)
    allowed_regions = reader.texts("allowedRegions")
    settings = Settings(
        project=project,
        stack=stack,
        ttl_s=_ttl_s(reader),
        authority_declared=_authority_declared(reader),
        operators=read_operators(reader),
        fleets=_fleets(reader, allowed_regions),
        denied_serials=reader.checked("deniedSerials", (), _serial),
        allowed_regions=allowed_regions,
        token_generation=reader.integer("tokenGeneration", 1, minimum=1, maximum=1_000_000),
        key_generation=reader.integer("keyGeneration", 1, minimum=1, maximum=1_000_000),
        jump_host=_jump_host(reader),
    )
    _require_use(reader, settings)
    _require_for_paid(reader, settings)
    if _authority_declared(reader, "previousAuthorityKey") and not settings.authority_declared:
        reader.add("previousAuthorityKey", "there is no gaxx:authorityKey that takes over from it")
    if faults.found:
        raise SettingsError(tuple(faults.found))
    return settings


def _ttl_s(reader: Reader) -> int:
    ttl_s = reader.duration_s("ttl", 0)
    longest_s = reader.duration_s("maxTtl", _MAX_TTL_S)
    if ttl_s > longest_s:
        longest = format_duration(longest_s)
        reader.add("ttl", f"{format_duration(ttl_s)} is longer than {longest}; gaxx:maxTtl raises the limit")
    return ttl_s


def _authority_declared(reader: Reader, key: str = "authorityKey") -> bool:
    value = reader.values.get(key)
    if value is None:
        return False
    # In the stack file as it lies on disk the value is still encrypted.
    if isinstance(value, dict) and set(value) == {"secure"}:
        return True
    if not isinstance(value, str):
        reader.add(key, "an encrypted text was expected; `gaxx init` and `gaxx rotate` make one")
        return True
    try:
        Authority.from_pem(value)
    except GaxxError as error:
        reader.add(key, str(error))
    return True


def _fleets(reader: Reader, allowed_regions: tuple[str, ...]) -> tuple[FleetSettings, ...]:
    if reader.values.get("fleets") is None:
        reader.add("fleets", "missing; a list of fleets, each with at least a name, is expected")
        return ()
    fleets: list[FleetSettings] = []
    names: dict[str, str] = {}
    entries = reader.readers("fleets")
    if len(entries) > _FLEETS_LIMIT:
        reader.add("fleets", f"{len(entries)} fleets; {_FLEETS_LIMIT} is the limit")
    for entry in entries[:_FLEETS_LIMIT]:
        fleet = read_fleet(entry, allowed_regions=allowed_regions)
        if fleet.name in names:
            entry.add("name", f"{shown(fleet.name)} is already the name of {names[fleet.name]}; each has its own")
        elif fleet.name:
            names[fleet.name] = entry.path
        fleets.append(fleet)
    for entry, fleet in zip(entries, fleets, strict=False):
        for index, group in enumerate(fleet.groups):
            if group in names and names[group] != entry.path:
                entry.add(
                    f"groups[{index}]", f"{shown(group)} is the name of {names[group]}; @{group} means that fleet"
                )
    return tuple(fleets)


def _serial(text: str) -> str:
    serial = text.replace(":", "").lower().lstrip("0")
    if not _SERIAL.fullmatch(serial):
        message = f"{shown(text)} is not a certificate's serial; hex digits, as `gaxx audit` shows them, are"
        raise ValueError(message)
    return serial


def _jump_host(reader: Reader) -> str:
    host = reader.text("jumpHost", "")
    if not host:
        return ""
    try:
        parsed = JumpHost.parse(host)
    except GaxxError as error:
        reader.add("jumpHost", str(error))
        return ""
    if parsed.port == Port.PROFILE:
        reader.add("jumpHost", f"port {parsed.port} is used nowhere; 22 is usual")
    return host


def _require_use(reader: Reader, settings: Settings) -> None:
    if settings.jump_host and settings.fleets and all(fleet.on_this_computer for fleet in settings.fleets):
        reader.add("jumpHost", "every fleet is on this computer, where no way leads through it; leave it out")


def _require_for_paid(reader: Reader, settings: Settings) -> None:
    clouds = sorted({fleet.cloud for fleet in settings.fleets if fleet.paid})
    if not clouds:
        return
    hint = f"`gaxx init --stack {settings.stack} --cloud {clouds[0]}` makes"
    if "ttl" not in reader.values:
        reader.add("ttl", f"missing; {' and '.join(clouds)} cost money until destroyed, so 30m, 4h or 2d is required")
    if not settings.authority_declared:
        reader.add("authorityKey", f"missing; {hint} one, encrypted")
    if not any(operator.role == "operator" for operator in settings.operators) and not reader.faults.below(
        reader.at("operators")
    ):
        reader.add("operators", f"missing; {hint} the first entry")
