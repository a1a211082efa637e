"""Ask TCP ports what they say. Runs on a controller and, sent there as it is, on a node: standard library alone.

stdin   {"authority": PEM, "timeout_s": 3.0, "targets": [{"node", "address", "tls_name", "port", "protocol"}, …]}
stdout  [{"node", "port", "source", "answer", "detail"}, …], in the order of the targets

Only what a port says in its own protocol counts as an answer: what forwards or filters in between may accept a
connection with nobody behind it. `answer` is one of

    answers    SSH's banner, or TLS with the node's own certificate    filtered   nothing came back
    foreign    somebody else: another protocol or certificate          refused    nobody listens, or is let through
    silent     accepts, and says nothing                               unrouted   there is no way there
"""

import asyncio
import contextlib
import errno
import json
import socket
import ssl
import sys
import typing

AT_ONCE = 512
_NO_WAY = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL}


class _Answer(typing.NamedTuple):
    source: str
    answer: str
    detail: str


async def ask(request: dict[str, typing.Any]) -> list[dict[str, typing.Any]]:
    """Ask all targets, AT_ONCE at once; none takes longer than about twice `timeout_s`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=request["authority"])
    places = asyncio.Semaphore(AT_ONCE)

    async def one(target: dict[str, typing.Any]) -> dict[str, typing.Any]:
        async with places:
            answer = await _ask(target, context, request["timeout_s"])
        return {"node": target["node"], "port": target["port"], **answer._asdict()}

    return list(await asyncio.gather(*(one(target) for target in request["targets"])))


async def _ask(target: dict[str, typing.Any], context: ssl.SSLContext, timeout_s: float) -> _Answer:
    try:
        async with asyncio.timeout(timeout_s):
            connected = await _connected(target["address"], target["port"])
    except TimeoutError:
        return _Answer("", "filtered", f"nothing within {timeout_s:g} s")
    except OSError as error:
        answer = "unrouted" if error.errno in _NO_WAY else "refused"
        return _Answer("", answer, errno.errorcode.get(error.errno or 0, "") or str(error))
    source = str(connected.getsockname()[0])
    try:
        if target["protocol"] == "tls":
            return _Answer(source, *await _tls(connected, context, target["tls_name"], timeout_s))
        return _Answer(source, *await _banner(connected, target["protocol"], timeout_s))
    except TimeoutError:
        return _Answer(source, "silent", f"accepted, and nothing within {timeout_s:g} s")
    except OSError as error:
        return _Answer(source, "silent", f"accepted, then {errno.errorcode.get(error.errno or 0, str(error))}")


async def _connected(address: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    ((family, kind, protocol, _, place), *_) = await loop.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    connecting = socket.socket(family, kind, protocol)
    try:
        connecting.setblocking(False)
        await loop.sock_connect(connecting, place)
    except BaseException:
        connecting.close()
        raise
    return connecting


async def _tls(connected: socket.socket, context: ssl.SSLContext, name: str, timeout_s: float) -> tuple[str, str]:
    try:
        _, writer = await asyncio.open_connection(
            sock=connected, ssl=context, server_hostname=name, ssl_handshake_timeout=timeout_s
        )
    except ssl.SSLCertVerificationError as error:
        return "foreign", error.verify_message
    except ssl.SSLError as error:
        return "foreign", str(error.reason or error)
    # We show no certificate, so that the other side may already have hung up.
    writer.transport.abort()
    return "answers", "TLS"


async def _banner(connected: socket.socket, protocol: str, timeout_s: float) -> tuple[str, str]:
    reader, writer = await asyncio.open_connection(sock=connected, limit=4096)
    try:
        async with asyncio.timeout(timeout_s):
            line = await reader.readline()
    except ValueError:
        return "foreign", "a line of more than 4096 bytes"
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    text = line.decode("ascii", "replace").strip()
    if not text:
        return "silent", "accepted and closed"
    return ("answers" if protocol == "ssh" and text.startswith("SSH-") else "foreign"), text[:80]


if __name__ == "__main__":
    json.dump(asyncio.run(ask(json.load(sys.stdin))), sys.stdout)
