"""What the agent's parts do, in the words of its audit trail."""

import time
from collections.abc import Mapping
from typing import Any

from agent.access.denied import Denied
from agent.access.peer import read_peer
from agent.audit.limit import Limit
from agent.audit.trail import Trail
from agent.manifest import Principal

SAME_CONNECTION_S = 600.0
"""gRPC tells of calls, not of connections: after so long a silence the same address is another one."""
_REMEMBERED = 4096


class Connections:
    """Notes a peer's first call on a connection: who, by which certificate, from where."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._last_s: dict[tuple[str, str], float] = {}

    def seen(self, principal: Principal, auth: Mapping[str, Any], peer: str, port: str) -> None:
        """A call was admitted; `auth` is gRPC's auth context, `port` agent or metrics."""
        now_s = time.monotonic()
        key = (peer, principal.name)
        last_s = self._last_s.pop(key, None)
        # Put in anew: the one that was silent for longest is the first.
        self._last_s[key] = now_s
        if last_s is not None and now_s - last_s < SAME_CONNECTION_S:
            return
        if len(self._last_s) > _REMEMBERED:
            del self._last_s[next(iter(self._last_s))]
        self._trail.note(
            "connection",
            principal=principal.name,
            role=principal.role,
            certificate=_serial(auth),
            peer=plain_peer(peer),
            port=port,
        )


class Refusals:
    """Notes calls and handshakes that were refused, so many a second."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._limit = Limit()

    def add(self, denied: Denied, method: str, peer: str) -> None:
        """Note one."""
        more = self._limit.passes()
        if more is not None:
            self._trail.note(
                "refused",
                reason=denied.reason,
                why=denied.message,
                principal=denied.name,
                call=method.rpartition("/")[2],
                peer=plain_peer(peer),
                **more,
            )


def plain_peer(peer: str) -> str:
    """Write gRPC's name for a peer as address:port."""
    return peer.removeprefix("ipv4:").removeprefix("ipv6:").replace("%5B", "[").replace("%5D", "]")


def _serial(auth: Mapping[str, Any]) -> str:
    pem = next(iter(auth.get("x509_pem_cert", ())), b"")
    return f"{read_peer(bytes(pem)).serial:x}" if pem else ""
