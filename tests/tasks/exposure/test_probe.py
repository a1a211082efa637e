"""What a port says, told apart: its own protocol, another's, nothing, and nobody."""

import asyncio
import contextlib
import pathlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.exposure import probe
from tests.agent.pki import TLS_NAME, ThrowAwayAuthority

ADDRESS = "127.0.0.1"
STRANGER = ThrowAwayAuthority()
OURS = ThrowAwayAuthority()


@contextlib.contextmanager
def listening(says: bytes | None, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port that says this to each caller and hangs up; None: that accepts and never says anything."""
    with socket.create_server((ADDRESS, 0)) as server:
        kept: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    caller, _ = server.accept()
                    kept.append(caller)
                    if tls is not None:
                        with contextlib.suppress(OSError):
                            kept.append(tls.wrap_socket(caller, server_side=True))
                    elif says is not None:
                        caller.sendall(says)
                        caller.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in kept:
                one.close()


def tls_of(authority: ThrowAwayAuthority, folder: pathlib.Path) -> ssl.SSLContext:
    pair = authority.node(ADDRESS)
    (folder / "pair.pem").write_text(pair.key_pem + pair.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pair.pem")
    return context


def asked(port: int, protocol: str, timeout_s: float = 5.0) -> dict[str, Any]:
    target = {"node": "demo-1", "address": ADDRESS, "tls_name": TLS_NAME, "port": port, "protocol": protocol}
    request = {"authority": OURS.pem, "timeout_s": timeout_s, "targets": [target]}
    (answer,) = asyncio.run(probe.ask(request))
    return answer


@pytest.mark.parametrize(
    ("says", "protocol", "answer"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "ssh", "answers"),
        (b"220 smtp.example.net ESMTP\r\n", "ssh", "foreign"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "none", "foreign"),
        (b"x" * 100_000, "ssh", "foreign"),
        (b"", "ssh", "silent"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "tls", "foreign"),
    ],
)
def test_only_the_ports_own_protocol_is_an_answer(says: bytes, protocol: str, answer: str) -> None:
    with listening(says) as port:
        assert asked(port, protocol)["answer"] == answer


def test_an_accepted_connection_with_nobody_behind_it_is_silent() -> None:
    with listening(None) as port:
        assert asked(port, "ssh", timeout_s=0.2)["answer"] == "silent"
        assert asked(port, "tls", timeout_s=0.2)["answer"] == "silent"


def test_a_certificate_of_the_stacks_authority_is_an_answer_and_a_strangers_is_foreign(tmp_path: pathlib.Path) -> None:
    with listening(None, tls_of(OURS, tmp_path)) as port:
        said = asked(port, "tls")
        assert (said["answer"], said["source"]) == ("answers", ADDRESS)
    with listening(None, tls_of(STRANGER, tmp_path)) as port:
        assert asked(port, "tls")["answer"] == "foreign"


def test_a_port_that_nobody_listens_on_refuses() -> None:
    with socket.create_server((ADDRESS, 0)) as server:
        port = server.getsockname()[1]
    assert asked(port, "tls")["answer"] == "refused"
