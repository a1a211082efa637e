"""gaxx:index:CloudNetwork: a vendor's private network, whose subnets are those that the state knows.

Linode refuses a subnet where another has the same addresses: one that no state knows would stop every later update.
"""

import typing
from collections.abc import Mapping

from components.provider.cloud_parts import CloudParts
from components.provider.resource import Property
from components.vendors import Kind, LinodeApi, vendor


class CloudNetwork(CloudParts):
    """The record of a VPC; its subnets come after it."""

    pulumi_type = "gaxx:index:CloudNetwork"
    description = "A vendor's private network: no subnet is in it that an interrupted update made and no state knows."
    inputs: typing.ClassVar[Mapping[str, Property]] = {
        "cloud": Property("string", "linode", replaces=True),
        "networkId": Property("string", "the vendor's id of the network", replaces=True),
    }
    kind: typing.ClassVar[Kind] = "network"
    id_input = "networkId"
    part = "subnet"
    part_type = "linode:index/vpcSubnet:VpcSubnet"
    part_owner = "vpcId"

    def parts(self, cloud: str, thing: str) -> set[str] | None:
        """Ids of subnets."""
        api = vendor(cloud)
        return set(api.subnets(thing)) if isinstance(api, LinodeApi) else None

    def remove(self, cloud: str, thing: str, part: str) -> None:
        """Delete a subnet."""
        api = vendor(cloud)
        if isinstance(api, LinodeApi):
            api.delete_subnet(thing, part)
