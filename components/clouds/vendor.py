"""What machines of both vendors have in common: the record of ours that says when each was made and how to log in."""

import dataclasses

import pulumi

from components.clouds.base import Machine, MachineRequest, Text
from components.declared import CloudMachine


@dataclasses.dataclass(frozen=True, slots=True)
class Vendor:
    """What the vendor's own resource says of a machine."""

    resource: pulumi.CustomResource
    address: Text


def enrolled_by(request: MachineRequest, vendor: Vendor, parent: pulumi.Resource | None) -> Machine:
    """Declare the record of a machine, and return the machine as enrolment needs it."""
    record = CloudMachine(
        f"{request.node}-machine",
        {
            "node": request.node,
            "cloud": request.fleet.cloud,
            "machineId": vendor.resource.id,
            "address": vendor.address,
            "label": request.label,
            "tags": list(request.tags),
            "networkId": request.network.id if request.network else None,
        },
        pulumi.ResourceOptions(parent=parent),
    )
    return Machine(
        resource=vendor.resource,
        machine_id=record.output("machineId"),
        created=record.output("created"),
        address=record.output("address"),
        ssh_host=record.output("address"),
        ssh_port=record.output("sshPort"),
        ssh_user=record.output("sshUser"),
        helper=record.output("helper"),
    )
