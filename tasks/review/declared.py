"""What a stack file declares, without running any code of the commit: for forks (`--static`).

Read by the settings of this checkout. Only plain values are here; keys, addresses and user-data are unknown, as in a
first preview.
"""

import pathlib
import typing
from collections.abc import Iterable, Mapping

import yaml

from components import naming, ports
from components.settings import Settings, format_duration, parse_settings
from tasks import check
from tasks.review.document import Document, Fault, Resource
from tasks.review.tree import ENROLMENT, FIREWALL, FLEET, IDENTITY, NOBODY, UNKNOWN

_MACHINES = {
    "local": "gaxx:index:LocalNode",
    "qemu": "gaxx:index:QemuNode",
    "linode": "linode:index/instance:Instance",
    "vultr": "vultr:index/instance:Instance",
}
_CLOUD_FIREWALLS = {
    "linode": "linode:index/firewall:Firewall",
    "vultr": "vultr:index/firewallGroup:FirewallGroup",
}
_BACKEND = "0" * 12
_LIMIT_BYTES = 8 << 20
ALIASES_LIMIT = 16


def faults_of(path: pathlib.Path, root: pathlib.Path) -> tuple[Fault, ...]:
    """Everything that is wrong with a stack file, with names of files relative to the project."""
    name = str(path.relative_to(root))
    # A link of a fork would have the review read, and quote, a file of whoever runs it.
    if path.is_symlink() or not path.resolve().is_relative_to(root.resolve()):
        return (Fault(name, 1, "", "a symbolic link; a stack file is a file of the project"),)
    if path.stat().st_size > _LIMIT_BYTES:
        return (Fault(name, 1, "", f"larger than {_LIMIT_BYTES >> 20} MiB; no stack file is"),)
    if aliases(path) > ALIASES_LIMIT:
        return (Fault(name, 1, "", f"more than {ALIASES_LIMIT} aliases (*name); write the values out"),)
    return tuple(
        Fault(str(pathlib.Path(fault.file).relative_to(root)), fault.line, fault.key, fault.text)
        for fault in check.check_files([path], root)
    )


def aliases(path: pathlib.Path) -> int:
    """How often a file refers to a part of itself: a few lines of that can stand for more than memory holds."""
    try:
        return sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError):
        return 0  # told, with its line, as a fault


def document(path: pathlib.Path, *, project: str, stack: str, commit: str, root: pathlib.Path) -> Document:
    """The stack file as a document of mode `static`; its faults where it has any."""
    faults = faults_of(path, root)
    if faults:
        return Document(stack, commit, "static", faults=faults)
    return faultless(path, project=project, stack=stack, commit=commit)


def faultless(path: pathlib.Path, *, project: str, stack: str, commit: str) -> Document:
    """The same of a file that was checked; raise SettingsError when it has faults after all."""
    settings = _settings(path, project, stack)
    resources = tuple(_resources(settings))
    return Document(stack, commit, "static", resources=resources, stack_regions=settings.allowed_regions)


def _settings(path: pathlib.Path, project: str, stack: str) -> Settings:
    config = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("config") or {}
    prefix = f"{project}:"
    values = {str(key).removeprefix(prefix): value for key, value in config.items() if str(key).startswith(prefix)}
    return parse_settings(values, project=project, stack=stack)


def _resources(settings: Settings) -> Iterable[Resource]:
    for fleet in settings.fleets:
        base = f"urn:pulumi:{settings.stack}::{settings.project}::{FLEET}"
        urn = f"{base}::{fleet.name}"
        yield Resource(
            urn,
            FLEET,
            fleet.name,
            "",
            {
                "cloud": fleet.cloud,
                "nodes": fleet.nodes,
                "type": fleet.type,
                "regions": list(fleet.regions),
                "image": fleet.image,
            },
        )
        firewall = f"{base}$gaxx:index:Firewall::{fleet.name}"
        yield Resource(firewall, FIREWALL, fleet.name, urn, {"rules": _rules(fleet)})
        kind = _CLOUD_FIREWALLS.get(fleet.cloud)
        behind = f"{base}${kind}::{fleet.name}" if kind else ""
        if kind:
            yield Resource(behind, kind, fleet.name, firewall, {"inboundPolicy": "DROP", "inbounds": []})
        for index in range(1, fleet.nodes + 1):
            yield from _node(settings, fleet, index, urn, behind)


def _rules(fleet: typing.Any) -> list[str]:
    accepted = (
        (ports.ssh_port(fleet.cloud), fleet.ssh_cidrs),
        (ports.Port.AGENT, fleet.trusted_cidrs),
        (ports.Port.METRICS, fleet.trusted_cidrs),
    )
    return [f"accept tcp {int(port)} from {', '.join(sources)}" for port, sources in accepted if sources]


def _node(settings: Settings, fleet: typing.Any, index: int, parent: str, firewall: str) -> Iterable[Resource]:
    node = naming.node_name(fleet.name, index)
    tags = naming.tags(
        project=settings.project,
        backend_id=_BACKEND,
        stack=settings.stack,
        fleet=fleet.name,
        index=index,
        ttl=format_duration(settings.ttl_s) if settings.ttl_s else "",
        owner=settings.operators[0].name if settings.operators else NOBODY,
    )
    kind = _MACHINES[fleet.cloud]
    prefix = parent.rsplit("::", 1)[0]
    props, links = _machine(fleet, index, firewall)
    yield Resource(
        f"{prefix}${IDENTITY}::{node}-identity",
        IDENTITY,
        f"{node}-identity",
        parent,
        {"node": node, "cloud": fleet.cloud, "triggers": list(fleet.triggers(index))},
    )
    yield Resource(
        f"{prefix}${kind}::{node}", kind, node, parent, {**props, "node": node, "tags": list(tags)}, links=links
    )
    yield Resource(
        f"{prefix}${ENROLMENT}::{node}-enrolment",
        ENROLMENT,
        f"{node}-enrolment",
        parent,
        {
            "node": node,
            "trustedCidrs": list(fleet.trusted_cidrs),
            "sshCidrs": list(fleet.ssh_cidrs),
            "reach": fleet.reach,
            "deniedSerials": list(settings.denied_serials),
            "env": dict(fleet.env),
            "files": {file.path: {"content": file.content, "mode": file.mode} for file in fleet.files},
            "packages": list(fleet.packages),
            "groups": list(fleet.groups),
            "slots": fleet.slots,
            "ttlS": settings.ttl_s,
            "idleS": fleet.idle_s,
            "principals": [
                {"name": operator.name, "role": operator.role, "sshPublicKey": operator.ssh_public_key}
                for operator in settings.operators
            ]
            or [{"name": NOBODY, "role": "operator", "sshPublicKey": ""}],
        },
    )


def _machine(
    fleet: typing.Any, index: int, firewall: str
) -> tuple[Mapping[str, typing.Any], Mapping[str, tuple[str, ...]]]:
    region = fleet.region(index)
    match fleet.cloud:
        case "linode":
            return (
                {
                    "type": fleet.type, "region": region, "image": fleet.image, "metadatas": UNKNOWN,
                    "firewallId": UNKNOWN, "diskEncryption": "enabled",
                },
                {"firewallId": (firewall,)},
            )  # fmt: skip
        case "vultr":
            return (
                {
                    "plan": fleet.type, "region": region, "osId": fleet.image, "userData": UNKNOWN,
                    "firewallGroupId": UNKNOWN,
                },
                {"firewallGroupId": (firewall,)},
            )  # fmt: skip
        case _:
            return {"userData": UNKNOWN}, {}
