"""The closed set of ports, and who may reach each: said once here, applied by every firewall and listener."""

import enum
import typing

Access = typing.Literal["ssh", "trusted", "denied", "controller"]


@enum.unique
class Port(enum.IntEnum):
    """Every TCP port that Gaxx knows; the metaclass refuses a number that is given twice."""

    SSH = 22
    LOCAL_SSH = 2222
    """SSH of a local node, which has no right to bind 22."""
    AGENT = 8088
    """The agent's gRPC service."""
    METRICS = 9091
    """Metrics and the node's dashboard, HTTPS with the same mutual TLS."""
    PROFILE = 6060
    """Nothing listens here on a node, and every firewall says so; `gaxx profile` shows it on the controller."""
    CONTROLLER = 9090
    """The controller's own metrics and dashboard, on 127.0.0.1 only."""

    @property
    def access(self) -> Access:
        """From where a node is reached on this port."""
        return _ACCESS[self]


_ACCESS: dict[Port, Access] = {
    Port.SSH: "ssh",
    Port.LOCAL_SSH: "ssh",
    Port.AGENT: "trusted",
    Port.METRICS: "trusted",
    Port.PROFILE: "denied",
    Port.CONTROLLER: "controller",
}


def ssh_port(cloud: str) -> Port:
    """The port of a node's sshd."""
    return Port.LOCAL_SSH if cloud == "local" else Port.SSH
