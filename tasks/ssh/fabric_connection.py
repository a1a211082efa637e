"""Fabric connections that trust exactly the host keys that the inventory pins, and offer exactly our key.

Fabric adds unknown host keys by itself unless told otherwise: every connection of ours is made here.
"""

import base64

import fabric
import fabric.config
import paramiko

from components import jump_socket
from components.errors import GaxxError, NodeError, Refused
from components.inventory import Node
from components.jump_host import JumpHost
from components.jump_socket import JumpSocket
from tasks import identity, private


class _Gateway:
    """A jump host as Fabric asks for one: a connection that is opened, and whose transport opens channels to nodes.

    Fabric's own kinds will not do: one logs in by paramiko, without the user's settings, the other is never closed.
    """

    def __init__(self, jump: JumpHost, node: str, connect_timeout_s: float) -> None:
        self._jump, self._node, self._connect_timeout_s = jump, node, connect_timeout_s
        self.transport = self

    def open(self) -> None:
        """There is nothing that several channels share."""

    def open_channel(self, *, kind: str, dest_addr: tuple[str, int], src_addr: tuple[str, int]) -> JumpSocket:
        """Connect to the node. Raises Refused and NodeError."""
        del kind, src_addr
        return jump_socket.opened(self._jump, self._node, *dest_addr, limit_s=self._connect_timeout_s)


def connection(node: Node, operator: identity.Operator, *, connect_timeout_s: float) -> fabric.Connection:
    """Make a connection that is not open yet. Not to be shared between threads."""
    made = fabric.Connection(
        node.ssh_host,
        user=node.ssh_user,
        port=node.ssh_port,
        forward_agent=False,
        # False, not None: nobody else's configuration may name one.
        gateway=_Gateway(node.jump, node.name, connect_timeout_s) if node.jump else False,
        connect_timeout=max(1, round(connect_timeout_s)),
        connect_kwargs={
            "pkey": _key(operator),
            "allow_agent": False,
            "look_for_keys": False,
            "banner_timeout": connect_timeout_s,
            "auth_timeout": connect_timeout_s,
        },
        # An explicit, empty ssh_config keeps Fabric from reading the user's own.
        config=fabric.config.Config(ssh_config=paramiko.SSHConfig()),
    )
    made.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    name = node.ssh_host if node.ssh_port == paramiko.config.SSH_PORT else f"[{node.ssh_host}]:{node.ssh_port}"
    for line in node.ssh_host_keys:
        kind, data = line.split()[:2]
        key = paramiko.PKey.from_type_string(kind, base64.b64decode(data))
        made.client.get_host_keys().add(name, kind, key)
    return made


def opened(node: Node, operator: identity.Operator, *, connect_timeout_s: float) -> fabric.Connection:
    """Open a connection; raise Refused where a key is wrong on either side, NodeError where nobody answers."""
    made = connection(node, operator, connect_timeout_s=connect_timeout_s)
    try:
        made.open()
    except Exception as error:
        # Not the connection's own close(), which does nothing where none was opened whole.
        made.client.close()
        raise failure(node, error) from error
    return made


def failure(node: Node, error: Exception) -> GaxxError:
    """Map what paramiko raises before a command has started to one of our errors; raise what is no such thing."""
    match error:
        case GaxxError():
            return error
        case paramiko.AuthenticationException():
            message = "sshd refuses our key"
            return Refused(message, hint="is this operator among gaxx:operators, and was `pulumi up` run since?")
        case paramiko.BadHostKeyException():
            return _foreign()
        case paramiko.SSHException() if "not found in known_hosts" in str(error):
            # Another kind of key than the pinned ones is no better than another key.
            return _foreign()
        case paramiko.ssh_exception.NoValidConnectionsError():
            faults = [fault for fault in error.errors.values() if isinstance(fault, OSError)]
            text = ", ".join(sorted({(fault.strerror or str(fault)).lower() for fault in faults}))
        case TimeoutError():
            text = "no answer in time"
        case OSError():
            text = (error.strerror or str(error)).lower()
        case paramiko.SSHException() | EOFError():
            text = " ".join(str(error).split()) or "the connection was closed"
        case _:
            raise error
    return NodeError(node.name, text)


def _foreign() -> Refused:
    message = "the host key is not the one pinned in the inventory"
    return Refused(message, hint="somebody may be in between; if the node was made anew: gaxx inventory --refresh")


def _key(operator: identity.Operator) -> paramiko.Ed25519Key:
    import io

    try:
        return paramiko.Ed25519Key.from_private_key(io.StringIO(private.read(operator.ssh_key)))
    except FileNotFoundError as error:
        message = f"{operator.ssh_key} is missing"
        raise GaxxError(message, hint=f"move {operator.folder} away, then `gaxx env` and `pulumi up`") from error
