"""Our own resources as a program declares them: the program's side of components/provider."""

import typing
from collections.abc import Mapping

import pulumi

Inputs = Mapping[str, typing.Any]


class Declared(pulumi.CustomResource):
    """A resource of the gaxx provider; `output(name)` is one of its properties."""

    pulumi_type: typing.ClassVar[str]
    outputs: typing.ClassVar[tuple[str, ...]]

    def __init__(self, name: str, inputs: Inputs, opts: pulumi.ResourceOptions | None = None) -> None:
        # The engine fills in what is declared here as None.
        super().__init__(self.pulumi_type, name, {**dict.fromkeys(self.outputs), **inputs}, opts)

    def output(self, name: str) -> pulumi.Output[typing.Any]:
        """The property `name`, an input or an output."""
        value: pulumi.Output[typing.Any] = getattr(self, name)
        return value


class BootstrapIdentity(Declared):
    """The single-use secrets of a machine's user-data."""

    pulumi_type = "gaxx:index:BootstrapIdentity"
    outputs = ("hostPrivateKey", "hostPublicKey", "userPrivateKey", "userPublicKey", "authoritySsh", "made")


class LocalNode(Declared):
    """A machine that is processes on this computer."""

    pulumi_type = "gaxx:index:LocalNode"
    outputs = ("machineId", "address", "sshPort", "sshUser", "helper", "created", "running")


class QemuNode(Declared):
    """A virtual machine on this computer."""

    pulumi_type = "gaxx:index:QemuNode"
    outputs = ("machineId", "address", "sshHost", "sshPort", "sshUser", "helper", "created", "running")


class Enrolment(Declared):
    """A node under the stack's authority."""

    pulumi_type = "gaxx:index:Enrolment"
    outputs = (
        "sshHostKeys",
        "operatorUser",
        "agentBuild",
        "certificateExpires",
        "manifestSerial",
        "expires",
        "health",
        "enrolled",
    )


class Quorum(Declared):
    """Whether enough of a fleet is enrolled."""

    pulumi_type = "gaxx:index:Quorum"
    outputs = ("missing",)


class OperatorCertificate(Declared):
    """What lets one operator in."""

    pulumi_type = "gaxx:index:OperatorCertificate"
    outputs = ("certificate", "notAfter", "serial", "keySha256", "token", "tokenSha256")


class InventoryDocument(Declared):
    """The stack's inventory."""

    pulumi_type = "gaxx:index:Inventory"
    outputs = ("document",)


class Sweep(Declared):
    """Removes leftovers, last in a destroy."""

    pulumi_type = "gaxx:index:Sweep"
    outputs = ("asked", "seed")


class CloudFirewall(Declared):
    """The record of a vendor's firewall."""

    pulumi_type = "gaxx:index:CloudFirewall"
    outputs = ("known", "strays")


class CloudNetwork(Declared):
    """The record of a vendor's private network."""

    pulumi_type = "gaxx:index:CloudNetwork"
    outputs = ("known", "strays")


class CloudMachine(Declared):
    """The record of a vendor's machine."""

    pulumi_type = "gaxx:index:CloudMachine"
    outputs = ("created", "sshPort", "sshUser", "helper")
