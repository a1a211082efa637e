"""One SSH connection to a node, strict from its first packet: the host key is known before the connect.

paramiko's own host-key policies are not used at all: the transport's key is compared here, and nothing is
sent before it fits. Blocking: call it in a thread.
"""

import contextlib
import dataclasses
import io
import json
import select
import socket
import typing
from collections.abc import Callable, Iterator

import paramiko

from components import jump_socket
from components.errors import NodeError, Refused
from components.jump_host import JumpHost, JumpHostError

CONNECT_LIMIT_S = 15.0
_CHUNK_BYTES = 1 << 18
PROGRESS = b"progress: "
"""How lines begin that only say how far a node is (agent/install/progress.py)."""
_SHOWN_LETTERS = 120


@dataclasses.dataclass(frozen=True, slots=True)
class Login:
    """How to log in: a private key, and for all but the first contact a certificate of the authority."""

    user: str
    private_key: str = dataclasses.field(repr=False)
    """Ed25519, in OpenSSH's private format."""
    certificate: str = ""
    """OpenSSH's certificate line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a node's sshd is, and which host keys it may present."""

    node: str
    host: str
    port: int
    host_keys: tuple[str, ...]
    jump_host: str = ""
    """[user@]host[:port] that leads there; empty: none."""


class UnreachableError(NodeError):
    """Nothing that speaks SSH answers there (yet)."""


class HostKeyChangedError(Refused):
    """Somebody answers with a host key that is not the node's."""


class LoginRefusedError(Refused):
    """The node does not accept the key or certificate."""


class Session:
    """A logged-in connection."""

    def __init__(self, endpoint: Endpoint, transport: paramiko.Transport) -> None:
        self._endpoint = endpoint
        self._transport = transport

    def call(
        self,
        command: str,
        data: typing.BinaryIO | bytes = b"",
        *,
        limit_s: float = 120.0,
        say: Callable[[str], None] | None = None,
    ) -> dict[str, typing.Any]:
        """Run a helper verb with `data` on its standard input; return its JSON answer.

        `limit_s` is how long it may be silent; `say` hears how far it is. Raises NodeError with the node's own words
        when it fails, Refused when the node refuses (exit 2).
        """
        node = self._endpoint.node
        channel = self._transport.open_session(timeout=CONNECT_LIMIT_S)
        channel.settimeout(limit_s)
        try:
            channel.exec_command(command)
            source = io.BytesIO(data) if isinstance(data, bytes) else data
            # A node that refuses early closes its side: its answer tells more than our broken pipe.
            with contextlib.suppress(OSError):
                while chunk := source.read(_CHUNK_BYTES):
                    channel.sendall(chunk)
            channel.shutdown_write()
            output, errors = _read(channel, limit_s, say or (lambda _: None))
            status = channel.recv_exit_status()
        except (TimeoutError, paramiko.SSHException, OSError, EOFError) as error:
            raise NodeError(node, f"the connection broke during `{_verb(command)}`: {_words(error)}") from error
        finally:
            channel.close()
        try:
            answer = json.loads(output)
        except ValueError:
            answer = {}
        if status == 0 and isinstance(answer, dict):
            return answer
        words = answer.get("error") if isinstance(answer, dict) else None
        text = words or (errors.decode(errors="replace").strip().splitlines() or [f"exit status {status}"])[-1]
        if status == Refused.exit_code:
            message = f"{node}: {text}"
            raise Refused(message)
        raise NodeError(node, f"{_verb(command)}: {text}")


@contextlib.contextmanager
def connect(endpoint: Endpoint, login: Login) -> Iterator[Session]:
    """Log in; raise UnreachableError, HostKeyChangedError or LoginRefusedError.

    Raise JumpHostError where the jump host cannot be used, Refused where it does not prove itself.
    """
    node = endpoint.node
    where = f"{endpoint.host}:{endpoint.port}"
    connection = _connected(endpoint, where)
    transport = paramiko.Transport(connection)
    try:
        options = transport.get_security_options()
        options.key_types = [
            kind for kind in options.key_types if kind in {key.split()[0] for key in endpoint.host_keys}
        ]
        try:
            transport.start_client(timeout=CONNECT_LIMIT_S)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise UnreachableError(node, f"no SSH handshake with {where}: {_words(error)}") from error
        presented = transport.get_remote_server_key()
        line = f"{presented.get_name()} {presented.get_base64()}"
        if line not in endpoint.host_keys:
            message = f"{node}: the SSH host key at {where} is not the node's (presented {presented.fingerprint})"
            raise HostKeyChangedError(
                message, hint="somebody else answers there, or the machine was replaced behind our back"
            )
        key = paramiko.Ed25519Key.from_private_key(io.StringIO(login.private_key))
        if login.certificate:
            key.load_certificate(login.certificate)
        try:
            transport.auth_publickey(login.user, key)
        except paramiko.AuthenticationException as error:
            message = f"{node}: {where} does not let {login.user} in with this key"
            raise LoginRefusedError(message) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise UnreachableError(node, f"{where} went away during the log-in: {_words(error)}") from error
        yield Session(endpoint, transport)
    finally:
        transport.close()


def _read(channel: paramiko.Channel, silence_limit_s: float, say: Callable[[str], None]) -> tuple[bytes, bytes]:
    """Both streams to their end, without the lines that only say how far it is; these go to `say`."""
    output, errors = bytearray(), bytearray()
    rest = b""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    while True:
        # Readable are data of either stream, and the end.
        if not poll.poll(silence_limit_s * 1000):
            message = f"no word for {silence_limit_s:.0f} s"
            raise TimeoutError(message)
        ended = channel.eof_received or channel.closed
        while channel.recv_ready():
            output += channel.recv(_CHUNK_BYTES)
        while channel.recv_stderr_ready():
            *lines, rest = (rest + channel.recv_stderr(_CHUNK_BYTES)).split(b"\n")
            for line in lines:
                if line.startswith(PROGRESS):
                    say(_shown(line.removeprefix(PROGRESS)))
                else:
                    errors += line + b"\n"
        if ended:
            return bytes(output), bytes(errors + rest)


def _shown(line: bytes) -> str:
    """A node's words, fit for a terminal."""
    return "".join(letter for letter in line.decode(errors="replace") if letter.isprintable())[:_SHOWN_LETTERS]


def _connected(endpoint: Endpoint, where: str) -> socket.socket:
    if not endpoint.jump_host:
        try:
            return socket.create_connection((endpoint.host, endpoint.port), timeout=CONNECT_LIMIT_S)
        except OSError as error:
            raise UnreachableError(endpoint.node, f"no sshd at {where}: {_words(error)}") from error
    try:
        jump = JumpHost.parse(endpoint.jump_host)
        return jump_socket.opened(jump, endpoint.node, endpoint.host, endpoint.port, limit_s=CONNECT_LIMIT_S)
    except JumpHostError:
        raise
    except NodeError as error:
        words = error.message.removeprefix(f"{endpoint.node}: ")
        raise UnreachableError(endpoint.node, f"no sshd at {where}: {words}") from error


def _verb(command: str) -> str:
    return command.rsplit("/", 1)[-1]


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
