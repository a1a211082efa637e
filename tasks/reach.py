"""How to get to a node's agent: directly, or through SSH from where its port cannot be reached."""

import collections.abc
import contextlib
import typing

from components.inventory import Node
from tasks.inventory import Found


class Target(typing.NamedTuple):
    """Where to connect; the certificate is checked against the node's `tls_name` all the same."""

    address: str
    port: int


@contextlib.asynccontextmanager
async def to_agent(found: Found, node: Node) -> collections.abc.AsyncIterator[Target]:
    """Yield where the agent can be reached for the length of the block; raise NodeError or Refused when not."""
    if node.reach == "direct":
        yield Target(node.address, node.agent_port)
        return
    from tasks.forwarding import forwarded  # only for nodes behind SSH

    async with forwarded(found, node) as path:
        yield Target(f"unix:{path}", 0)
