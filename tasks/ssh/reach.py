"""How to get to a node's agent: directly, or through SSH from where its port cannot be reached."""

import collections.abc
import contextlib
import typing

from agent.client import AgentChannel, Identity, credentials, make_channel, target_of
from components.inventory import Node
from tasks.inventory import Found

if typing.TYPE_CHECKING:
    import grpc


LINGERING = 128
"""How many connections wait for the end of everything to be taken apart: it keeps both sides busy for as long as
another node's whole answer."""


class Reach:
    """The way to the agents of one stack, as one principal; the certificates are parsed once for all of them."""

    def __init__(self, found: Found, me: Identity) -> None:
        self._found, self._identity = found, me
        self._tls: grpc.ChannelCredentials = credentials(found.inventory.authority_certificate, me)
        self._greeted: dict[str, AgentChannel] = {}
        self._lingering: list[AgentChannel] = []

    def greet(self, nodes: collections.abc.Iterable[Node]) -> None:
        """Begin to connect to nodes that `open` is going to be asked for, as far as nothing but TCP and TLS is needed.

        gRPC's own threads do it, while this one loads what the first call needs.
        """
        for node in nodes:
            if node.reach == "direct":
                agent = self._greeted[node.name] = self._made(target_of(node.address, node.agent_port), node)
                agent.connect()

    @contextlib.asynccontextmanager
    async def open(self, node: Node, *, once: bool = False) -> collections.abc.AsyncIterator[AgentChannel]:
        """Yield a channel to the node's agent; raise NodeError or Refused when SSH does not get there.

        Nothing is sent yet: whether the agent answers is told by the first call. `once`: this way is used for one
        call a node and then dropped, so that up to LINGERING channels may be closed with it.
        """
        async with self._target(node) as target:
            agent = self._greeted.pop(node.name, None) or self._made(target, node)
            try:
                yield agent
            finally:
                if once and len(self._lingering) < LINGERING:
                    self._lingering.append(agent)
                else:
                    await agent.close()

    def _made(self, target: str, node: Node) -> AgentChannel:
        return make_channel(target, node.tls_name, self._tls, self._identity)

    @contextlib.asynccontextmanager
    async def _target(self, node: Node) -> collections.abc.AsyncIterator[str]:
        if node.reach == "direct":
            yield target_of(node.address, node.agent_port)
            return
        from tasks.ssh.forwarding import forwarded  # only for nodes behind SSH

        async with forwarded(self._found, node) as path:
            yield f"unix:{path}"
