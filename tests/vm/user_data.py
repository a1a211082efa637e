"""What a machine's user-data holds, and everything that somebody who has it can try."""

import json

import yaml

from components.inventory import Node
from components.provider import ssh_session
from components.provider.ssh_session import Endpoint, HostKeyChangedError, Login, LoginRefusedError
from tests.stack import node_access
from tests.stack.project import Project

USERS = ("gaxx-enrol", "gaxx", "root", "debian", "gaxx-agent", "gaxx-runner")


def secrets(vm: Project, node: Node) -> dict[str, str]:
    """Private keys that were there for the machine's first minutes: SSH's, by what they were for."""
    document = yaml.safe_load(text(vm, node))
    return {
        "host": document["ssh_keys"]["ed25519_private"],
        "bootstrap": node_access.bootstrap_login(vm, node).private_key,
    }


def text(vm: Project, node: Node) -> str:
    """The user-data itself, out of the stack's state."""
    exported = json.loads(vm.pulumi("stack", "export", "--show-secrets").stdout)["deployment"]["resources"]
    (machine,) = (
        resource
        for resource in exported
        if resource["type"] == "gaxx:index:QemuNode" and resource["inputs"]["node"] == node.name
    )
    value = machine["inputs"]["userData"]
    return str(json.loads(value["plaintext"]) if isinstance(value, dict) else value)


def doors_opened(vm: Project, node: Node) -> list[str]:
    """What of all that still opens: as whom one gets in by which key, and whether the old host key is shown."""
    opened = []
    for key, private in secrets(vm, node).items():
        for user in USERS:
            try:
                with ssh_session.connect(node_access.endpoint(node), Login(user, private)):
                    opened.append(f"{user} by the {key} key")
            except LoginRefusedError:
                continue
    host_key = vm.resource("BootstrapIdentity", node.name)["outputs"]["hostPublicKey"]
    old = Endpoint(node.name, node.ssh_host, node.ssh_port, (host_key,))
    try:
        with ssh_session.connect(old, node_access.bootstrap_login(vm, node)):
            opened.append("it has the bootstrap host key")
    except HostKeyChangedError:
        pass
    return opened
