"""Declarations that every rule accepts, on each cloud; tests change one thing at a time."""

import base64
import dataclasses
import functools
from collections.abc import Iterable, Mapping

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from components.cloudinit import Bootstrap, render
from policy.declared import UNKNOWN, Declared
from policy.rulebook import RULES

RULE = {rule.name: rule for rule in RULES}
TAGS = [
    "gaxx:backend=0123456789ab",
    "gaxx:fleet=render",
    "gaxx:index=1",
    "gaxx:owner=ada",
    "gaxx:project=gaxx",
    "gaxx:stack=render",
    "gaxx:ttl=4h",
]
FIREWALL_URN = "urn:pulumi:render::gaxx::linode:index/firewall:Firewall::render"
GROUP_URN = "urn:pulumi:render::gaxx::vultr:index/firewallGroup:FirewallGroup::render"
FLEET_URN = "urn:pulumi:render::gaxx::gaxx:index:Fleet::render"


def judge(name: str, resource: Declared, **settings: object) -> list[str]:
    """What a rule about one resource has against it."""
    rule = RULE[name]
    if rule.growing is not None:
        return list(rule.growing([resource], rule.settings(settings)))
    assert rule.one is not None
    return list(rule.one(resource, rule.settings(settings)))


def judge_stack(name: str, resources: Iterable[Declared], **settings: object) -> list[str]:
    """What a rule about the stack has against it; one about growth is asked after each resource."""
    rule = RULE[name]
    together = list(resources)
    if rule.stack is not None:
        return list(rule.stack(together, rule.settings(settings)))
    assert rule.growing is not None
    grown = (together[:length] for length in range(1, len(together) + 1))
    return [text for part in grown for text in rule.growing(part, rule.settings(settings))]


def all_against(resource: Declared) -> dict[str, list[str]]:
    """Every rule about one resource that has something against it."""
    found = {rule.name: judge(rule.name, resource) for rule in RULES if rule.stack is None}
    return {name: texts for name, texts in found.items() if texts}


def changed(resource: Declared, **props: object) -> Declared:
    """The same with other properties; None takes one away."""
    kept = {key: value for key, value in {**resource.props, **props}.items() if value is not None}
    return dataclasses.replace(resource, props=kept)


@functools.cache
def user_data() -> str:
    """User-data as machines of ours boot from."""
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    authority = ec.generate_private_key(ec.SECP256R1()).public_key()
    line = authority.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    return render(
        Bootstrap(host_private_key=private, host_public_key=public, user_public_key=public, authority_ssh=line)
    )


MINIMAL_USER_DATA = (
    "#cloud-config\nssh_pwauth: false\ndisable_root: true\n"
    "users:\n- name: ada\n  ssh_authorized_keys: [ssh-ed25519 AAAA]\n"
)


def encoded(text: str) -> list[Mapping[str, object]]:
    """User-data as a Linode takes it."""
    return [{"userData": base64.b64encode(text.encode()).decode()}]


def linode(**props: object) -> Declared:
    """A Linode instance."""
    good = Declared(
        "linode:index/instance:Instance",
        "render-1",
        {
            "region": "nl-ams",
            "type": "g6-standard-2",
            "image": "linode/debian12",
            "tags": TAGS,
            "metadatas": encoded(user_data()),
            "firewallId": UNKNOWN,
            "diskEncryption": "enabled",
        },
        urn="urn:pulumi:render::gaxx::linode:index/instance:Instance::render-1",
        links={"firewallId": (FIREWALL_URN,)},
    )
    return changed(good, **props)


def vultr(**props: object) -> Declared:
    """A Vultr instance."""
    good = Declared(
        "vultr:index/instance:Instance",
        "render-1",
        {
            "region": "ams",
            "plan": "vc2-2c-4gb",
            "osId": 2136,
            "tags": TAGS,
            "userData": user_data(),
            "firewallGroupId": UNKNOWN,
        },
        urn="urn:pulumi:render::gaxx::vultr:index/instance:Instance::render-1",
        links={"firewallGroupId": (GROUP_URN,)},
    )
    return changed(good, **props)


def local(**props: object) -> Declared:
    """A node of the local cloud, which needs no TTL."""
    good = Declared(
        "gaxx:index:LocalNode",
        "demo-1",
        {"node": "demo-1", "tags": [*TAGS[:-1], "gaxx:ttl="], "userData": user_data()},
        urn="urn:pulumi:demo::gaxx::gaxx:index:Fleet$gaxx:index:LocalNode::demo-1",
    )
    return changed(good, **props)


def linode_firewall(*inbounds: Mapping[str, object], **props: object) -> Declared:
    """A Linode firewall with these rules; without any, with those of a fleet."""
    fleet_rules = (
        linode_rule("22", "203.0.113.7/32"),
        linode_rule("8088", "10.0.0.0/8"),
        linode_rule("9091", "10.0.0.0/8", "fd00::/8"),
        {**linode_rule("6060", "0.0.0.0/0", "::/0"), "action": "DROP"},
    )
    good = Declared(
        "linode:index/firewall:Firewall",
        "render",
        {"inboundPolicy": "DROP", "outboundPolicy": "ACCEPT", "inbounds": list(inbounds or fleet_rules)},
        urn=FIREWALL_URN,
    )
    return changed(good, **props)


def linode_rule(ports: object, *sources: str, protocol: str = "TCP") -> dict[str, object]:
    """An inbound rule that accepts."""
    return {
        "action": "ACCEPT",
        "label": "gaxx-rule",
        "protocol": protocol,
        "ports": ports,
        "ipv4s": [source for source in sources if ":" not in source],
        "ipv6s": [source for source in sources if ":" in source],
    }


def vultr_rule(port: object, source: str, **props: object) -> Declared:
    """A rule of a Vultr firewall group."""
    subnet, _, size = source.partition("/")
    good = Declared(
        "vultr:index/firewallRule:FirewallRule",
        "render-rule",
        {
            "firewallGroupId": UNKNOWN,
            "ipType": "v6" if ":" in source else "v4",
            "protocol": "tcp",
            "port": port,
            "subnet": subnet,
            "subnetSize": int(size),
        },
    )
    return changed(good, **props)


def vultr_group() -> Declared:
    """A Vultr firewall group."""
    return Declared("vultr:index/firewallGroup:FirewallGroup", "render", {}, urn=GROUP_URN)


def gaxx_firewall(*rules: str) -> Declared:
    """Our own firewall component, with its rules as data."""
    return Declared("gaxx:index:Firewall", "render", {"rules": list(rules)})


def enrolment(**props: object) -> Declared:
    """An enrolment: what a node's own firewall, files and environment are made of."""
    good = Declared(
        "gaxx:index:Enrolment",
        "demo-1-enrolment",
        {
            "trustedCidrs": ["10.0.0.0/8"],
            "sshCidrs": ["127.0.0.0/8"],
            "env": {"LANG": "C.UTF-8"},
            "files": {"/srv/app.conf": {"content": "threads = 4\n", "mode": "0644"}},
            "principals": [{"name": "ada", "role": "operator", "tokenSha256": UNKNOWN}],
            "ttlS": 0,
        },
    )
    return changed(good, **props)


def fleet(cloud: str = "linode", nodes: object = 2, **props: object) -> Declared:
    """Our own fleet component."""
    kinds = {"linode": "g6-standard-2", "vultr": "vc2-2c-4gb", "local": "small"}
    return changed(
        Declared(
            "gaxx:index:Fleet",
            "render",
            {"cloud": cloud, "nodes": nodes, "type": kinds[cloud], "regions": ["nl-ams"], "image": "any"},
            urn=FLEET_URN,
        ),
        **props,
    )
