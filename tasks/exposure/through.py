"""Ask ports of nodes behind a jump host from there: it is the jump host that the rules let in, and not this computer.

Each port is a log-in of its own at the jump host. What its client tells of the channel says more than a forwarded port
would, which accepts with nobody behind it.
"""

import asyncio
import collections.abc
import concurrent.futures
import re
import ssl
import time
import typing

from components import jump_host
from components.inventory import Node
from components.jump_host import JumpHost
from components.jump_socket import JumpSocket

AT_ONCE = 32
_LOGIN_LIMIT_S = jump_host.CONNECT_LIMIT_S + 5.0
_POLL_S = 0.02
_REFUSED = re.compile(r"channel \d+: open failed: ([^\r\n]*)")

Record = dict[str, typing.Any]


class _UnusableError(Exception):
    """The jump host's client has ended by itself."""


async def ask(
    nodes: collections.abc.Mapping[str, Node], request: Record, targets: collections.abc.Sequence[Record]
) -> list[Record]:
    """Ask all targets; the answers are as `probe` gives them, from a source that only the nodes know.

    Raise Refused and JumpHostError where a jump host cannot be used.
    """
    if not targets:
        return []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=request["authority"])
    loop = asyncio.get_running_loop()

    def one(target: Record) -> Record:
        jump = nodes[target["node"]].jump
        assert jump is not None  # noqa: S101 - nobody else is asked here
        answer, detail = _ask(jump, target, context, request["timeout_s"])
        return {"node": target["node"], "port": target["port"], "source": "", "answer": answer, "detail": detail}

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE, "jump") as threads:
        return list(await asyncio.gather(*(loop.run_in_executor(threads, one, target) for target in targets)))


def _ask(jump: JumpHost, target: Record, context: ssl.SSLContext, timeout_s: float) -> tuple[str, str]:
    for tried in range(1, jump_host.TRIES + 1):
        with JumpSocket(jump.command(target["address"], target["port"], log_level="DEBUG2")) as connected:
            try:
                return _closed(connected, timeout_s) or _talk(connected, target, context, timeout_s)
            except _UnusableError:
                said = connected.said()
        if tried == jump_host.TRIES or not jump_host.is_dropped(said):
            raise jump.fault(target["node"], said)
        time.sleep(jump_host.pause_s(tried))
    raise AssertionError  # the last try has returned or raised


def _closed(connected: JumpSocket, timeout_s: float) -> tuple[str, str] | None:
    """Wait for the far side to accept: None. Else what it does instead."""
    deadline = time.monotonic() + _LOGIN_LIMIT_S
    asked = False
    while time.monotonic() < deadline:
        ended = connected.has_ended()
        said = connected.said_so_far()
        if refused := _REFUSED.search(said):
            return _answer(refused[1].strip())
        if "open confirm" in said:
            return None
        if ended:
            break
        if not asked and "channel 0: new" in said:
            # Logged in: from here on it is the port's time.
            asked, deadline = True, time.monotonic() + timeout_s
        time.sleep(_POLL_S)
    else:
        if asked:
            return "filtered", f"nothing within {timeout_s:g} s"
    raise _UnusableError


def _answer(words: str) -> tuple[str, str]:
    if "refused" in words:
        return "refused", "ECONNREFUSED"
    return ("filtered" if "timed out" in words else "unrouted"), words.removeprefix("connect failed: ").lower()


def _talk(connected: JumpSocket, target: Record, context: ssl.SSLContext, timeout_s: float) -> tuple[str, str]:
    connected.settimeout(timeout_s)
    try:
        if target["protocol"] == "tls":
            context.wrap_socket(connected, server_hostname=target["tls_name"]).close()
            return "answers", "TLS"
        with connected.makefile("rb") as lines:
            text = lines.readline(4096).decode("ascii", "replace").strip()
    except ssl.SSLError as error:
        return "foreign", str(getattr(error, "verify_message", "") or error.reason or error)
    except OSError as error:
        return "silent", f"accepted, then {error.strerror or error}"
    if not text:
        return "silent", "accepted and closed"
    is_ssh = target["protocol"] == "ssh" and text.startswith("SSH-")
    return ("answers" if is_ssh else "foreign"), text[:80]
