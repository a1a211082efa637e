"""Whether the agent serves, as seen from the node itself: by a handshake, never by a pid or a connect alone."""

import socket
import ssl
import typing

from agent.install.layout import Layout

LIMIT_S = 5.0


def fault(layout: Layout, manifest: dict[str, typing.Any]) -> str:
    """What keeps the agent from being this node's under its authority; "" when nothing does.

    The node has no certificate that the agent would answer; that it proves itself in the handshake is what counts.
    """
    context = ssl.create_default_context(cafile=str(layout.tls / "authority.crt"))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    where = (manifest["address"], manifest["agentPort"])
    try:
        with (
            socket.create_connection(where, timeout=LIMIT_S) as connection,
            context.wrap_socket(connection, server_hostname=manifest["tlsName"]),
        ):
            return ""
    except ssl.SSLError as error:
        return f"what answers at {where[0]}:{where[1]} is not this node's agent: {error.reason}"
    except TimeoutError:
        return f"the agent does not answer within {LIMIT_S:.0f} s"
    except OSError as error:
        return f"the agent is dead: {error.strerror}"
