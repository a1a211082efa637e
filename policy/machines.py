"""Machines of every cloud in one form, property by property as their SDKs name them."""

import dataclasses
import re
import typing

from policy.declared import Declared

LINODE = "linode:index/instance:Instance"
VULTR = "vultr:index/instance:Instance"
FLEET = "gaxx:index:Fleet"
_OURS = re.compile(r"gaxx:index:([A-Z][A-Za-z]*)Node")

NOT_JUDGED = {
    "linode:index/lkeCluster:LkeCluster",
    "linode:index/lkeNodePool:LkeNodePool",
    "vultr:index/bareMetalServer:BareMetalServer",
    "vultr:index/kubernetes:Kubernetes",
    "vultr:index/kubernetesNodePools:KubernetesNodePools",
}
"""Resources that run machines which no rule here can look into."""

Cloud = typing.Literal["linode", "vultr", "ours"]


@dataclasses.dataclass(frozen=True, slots=True)
class Machine:
    """One machine. Values are as declared: None where absent, UNKNOWN where a preview cannot know."""

    cloud: Cloud
    """`ours`: a machine on this computer, which costs nothing and is nobody else's."""
    kind: object
    """The vendor's machine type."""
    region: object
    tags: object
    user_data: object
    encoded: bool
    """Whether the program gives the user-data in base64."""

    @property
    def paid(self) -> bool:
        """Whether it costs money until it is destroyed."""
        return self.cloud != "ours"


def machine(resource: Declared) -> Machine | None:
    """Read a machine; None when the resource is none."""
    props = resource.props
    if resource.type == LINODE:
        return Machine(
            "linode", props.get("type"), props.get("region"), props.get("tags"), _linode_user_data(props), encoded=True
        )
    if resource.type == VULTR:
        return Machine(
            "vultr",
            props.get("plan"),
            props.get("region"),
            props.get("tags"),
            props.get("userData"),
            encoded=False,  # the plugin encodes
        )
    if _OURS.fullmatch(resource.type):
        return Machine("ours", None, None, props.get("tags"), props.get("userData"), encoded=False)
    return None


def _linode_user_data(props: typing.Mapping[str, object]) -> object:
    metadata = props.get("metadatas", props.get("metadata"))
    if isinstance(metadata, list):
        metadata = metadata[0] if metadata else None
    return metadata.get("userData") if isinstance(metadata, dict) else metadata
