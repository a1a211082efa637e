"""The inventory in the words of others: tables, ssh_config, Ansible, Prometheus. Never a token or a key."""

import collections.abc
import dataclasses
import datetime as dt
import json
import shlex
import typing

from components.inventory import Inventory, Node
from tasks import identity, words
from tasks.inventory import Found
from tasks.selection import groups_of

FLEET_COLUMNS = ("fleet", "cloud", "nodes", "type", "regions", "groups", "ttl left")
NODE_COLUMNS = ("node", "address", "agent", "ssh", "reach", "region", "slots", "ttl left")


@dataclasses.dataclass(frozen=True, slots=True)
class Fleet:
    """One line of `gaxx ls`."""

    row: tuple[str, ...]


def fleets(inventory: Inventory, nodes: collections.abc.Sequence[Node]) -> list[Fleet]:
    """Sum up the fleets of `nodes`."""
    by_fleet: dict[str, list[Node]] = {}
    for node in nodes:
        by_fleet.setdefault(node.fleet, []).append(node)
    lines = []
    for name, members in by_fleet.items():
        away = sum(missing.rpartition("-")[0] == name for missing in inventory.missing)
        first = members[0]
        lines.append(
            Fleet(
                (
                    name,
                    first.cloud,
                    f"{len(members)} of {len(members) + away}" if away else str(len(members)),
                    first.type,
                    ",".join(dict.fromkeys(node.region for node in members)) or "-",
                    ",".join(dict.fromkeys(group for node in members for group in node.groups)) or "-",
                    left(first.expires),
                )
            )
        )
    return lines


def node_row(node: Node) -> tuple[str, ...]:
    """One node as cells of NODE_COLUMNS."""
    return (
        node.name,
        node.address,
        str(node.agent_port),
        f"{node.ssh_user}@{node.ssh_host}:{node.ssh_port}",
        node.reach,
        node.region or "-",
        str(node.slots),
        left(node.expires),
    )


def node_record(node: Node) -> dict[str, object]:
    """One node as JSON has it; nothing in it is secret."""
    return node._asdict()


def left(expires: str, now: dt.datetime | None = None) -> str:
    """The time to live that is left: 3h12m, "expired", or "-" where there is no end."""
    if not expires:
        return "-"
    end = dt.datetime.fromisoformat(expires)
    seconds = (end - (now or dt.datetime.now(dt.UTC))).total_seconds()
    return words.duration(seconds) if seconds > 0 else "expired"


def as_json(found: Found, nodes: collections.abc.Sequence[Node]) -> str:
    """Render nodes, groups and principals, without tokens."""
    inventory = found.inventory
    data = {
        "project": inventory.project,
        "stack": inventory.stack,
        "authority_certificate": inventory.authority_certificate,
        "nodes": [node_record(node) for node in nodes],
        "groups": groups_of(inventory),
        "missing": inventory.missing,
        "principals": [
            {"name": who.name, "role": who.role, "key_sha256": who.key_sha256} for who in inventory.principals
        ],
    }
    return json.dumps(data, indent=2) + "\n"


def as_ssh_config(found: Found, nodes: collections.abc.Sequence[Node]) -> str:
    """Render an ssh_config with the pinned host keys in a file beside the inventory cache."""
    from tasks.ssh.openssh import known_hosts  # writes the file

    operator, hosts = identity.load(), known_hosts(found)
    lines = []
    for node in nodes:
        lines += [
            f"Host {node.name}",
            f"    HostName {node.ssh_host}",
            f"    Port {node.ssh_port}",
            f"    User {node.ssh_user}",
            f"    HostKeyAlias {node.tls_name}",
            f'    IdentityFile "{operator.ssh_key}"',
            "    IdentitiesOnly yes",
            f'    UserKnownHostsFile "{hosts}"',
            "    GlobalKnownHostsFile /dev/null",
            "    StrictHostKeyChecking yes",
            "    UpdateHostKeys no",
            "    PasswordAuthentication no",
            "    ForwardAgent no",
            *([f"    ProxyCommand {node.jump.proxy_command()}"] if node.jump else []),
            "",
        ]
    return "\n".join(lines)


def as_ansible(found: Found, nodes: collections.abc.Sequence[Node]) -> str:
    """Render what an Ansible inventory script prints with --list."""
    from tasks.ssh.openssh import known_hosts

    operator, hosts = identity.load(), known_hosts(found)
    names = {node.name for node in nodes}
    variables = {
        node.name: {
            "ansible_host": node.ssh_host,
            "ansible_port": node.ssh_port,
            "ansible_user": node.ssh_user,
            "ansible_ssh_private_key_file": str(operator.ssh_key),
            "ansible_ssh_common_args": " ".join(
                (
                    f"-o UserKnownHostsFile={hosts} -o HostKeyAlias={node.tls_name} -o StrictHostKeyChecking=yes",
                    *([f"-o {shlex.quote(f'ProxyCommand={node.jump.proxy_command()}')}"] if node.jump else []),
                )
            ),
        }
        for node in nodes
    }
    groups: dict[str, object] = {
        group: {"hosts": [name for name in members if name in names]}
        for group, members in groups_of(found.inventory).items()
    }
    return json.dumps({"_meta": {"hostvars": variables}, **groups}, indent=2) + "\n"


def as_prometheus(found: Found, nodes: collections.abc.Sequence[Node]) -> str:
    """Render file_sd: the metrics ports with what one would group by as labels."""
    data = [
        {
            "targets": [f"{node.address}:{node.metrics_port}"],
            "labels": {
                "stack": found.inventory.stack,
                "node": node.name,
                "fleet": node.fleet,
                "cloud": node.cloud,
                "region": node.region,
                "__tls_name": node.tls_name,
            },
        }
        for node in nodes
    ]
    return json.dumps(data, indent=2) + "\n"


Renderer = typing.Callable[[Found, collections.abc.Sequence[Node]], str]
FORMATS: dict[str, Renderer] = {
    "json": as_json,
    "ssh_config": as_ssh_config,
    "ansible": as_ansible,
    "prometheus": as_prometheus,
}
