"""Branches, what is edited on each, and how the review of it ends."""

import dataclasses
from collections.abc import Callable, Mapping

from tests.review.repository import replaced

DEMO = "stacks/Pulumi.demo.yaml"
RENDER = "stacks/Pulumi.render.yaml"


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One branch; its comment is expected/<name>.md."""

    name: str
    edits: Mapping[str, Callable[[str], str]]
    code: int
    options: tuple[str, ...] = ()


def _added(line: str, after: str = "      type: small\n") -> Callable[[str], str]:
    return replaced(after, f"{after}      {line}\n")


PREVIEWED = (
    Case("add-nodes", {DEMO: replaced("nodes: 2", "nodes: 4")}, 0),
    Case("change-the-type", {DEMO: replaced("type: small", "type: medium")}, 0),
    Case("drop-the-ttl", {DEMO: replaced("  gaxx:ttl: 4h # then it ends by itself\n", "")}, 0),
    Case("exceed-the-node-budget", {DEMO: replaced("nodes: 2", "nodes: 13")}, 2),
    Case("rename-the-fleet", {DEMO: replaced("name: demo", "name: paint")}, 0),
    Case("settings-in-place", {DEMO: _added("packages: [ffmpeg]\n      env: {COLOUR: teal}")}, 0),
    Case(
        "edit-its-own-judge",
        {
            DEMO: _added("trustedCidrs: [203.0.113.0/24]"),
            "policy/rulebook.py": lambda _: "RULES = ()\n",
            "policy/parameters.json": lambda _: '{"agent-ports-trusted-only": "disabled"}\n',
            "tasks/review/comparison.py": replaced('"refused" if', '"kept" if'),
            "components/cidrs.py": lambda text: f"{text}\n# changed\n",
        },
        2,
        ("--stack", "demo"),
    ),
)
"""Judged by the engine's preview of the branch."""

REFUSED = (
    Case("open-8088-to-the-world", {DEMO: _added('trustedCidrs: ["0.0.0.0/0"]')}, 2),
    Case("open-8088-to-the-ipv6-world", {DEMO: _added('trustedCidrs: [10.0.0.0/8, "::/0"]')}, 2),
    Case("open-8088-to-two-halves", {DEMO: _added("trustedCidrs: [0.0.0.0/1, 128.0.0.0/1]")}, 2),
    Case("add-a-rule-for-6060", {DEMO: _added("ports: [6060]")}, 2),
    Case(
        "put-a-token-into-files",
        {DEMO: _added("files: {/srv/token: " + "ghp_" + "Zz9" * 12 + "}")},
        2,
    ),
    Case("drop-a-required-ttl", {RENDER: replaced("  gaxx:ttl: 4h\n", "")}, 2),
    Case(
        "move-out-of-the-allowed-regions",
        {RENDER: replaced("regions: [nl-ams]\n      i", "regions: [us-east]\n      i")},
        2,
    ),
)
"""Refused by the settings before any engine starts."""

STATIC = (
    Case("move-region", {RENDER: replaced("regions: [nl-ams]\n      i", "regions: [de-fra-2]\n      i")}, 0),
    Case("change-the-image", {RENDER: replaced("linode/debian12", "linode/debian13")}, 0),
    Case(
        "change-type-and-grow",
        {RENDER: lambda t: t.replace("standard-2", "standard-4").replace("nodes: 8", "nodes: 9")},
        0,
    ),
    Case("exceed-the-hourly-budget", {RENDER: replaced("g6-standard-2", "g6-dedicated-8")}, 2),
    Case(
        "open-ssh-to-more",
        {RENDER: replaced("[203.0.113.7/32]", '[203.0.113.7/32, 198.51.100.0/24, "2001:db8::/48"]')},
        0,
    ),
    Case(
        "a-new-stack",
        {"stacks/Pulumi.extra.yaml": lambda _: "config:\n  gaxx:fleets: [{name: extra, nodes: 300}]\n"},
        2,
    ),
    Case("a-stack-is-removed", {DEMO: lambda _: ""}, 0),
)
"""Judged on plain values, without running any code of the branch."""
