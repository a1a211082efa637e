"""Which loopback address a local node gets: stable per stack, fleet and index, never shared.

Each (stack, fleet) owns blocks 127.x.y.0/24, claimed by a file that is created exclusively in the user's
private folder. The search starts at a hash, so that the same fleet gets the same block again; a block on
which somebody else (another user has another folder) already listens is passed over.
"""

import contextlib
import errno
import hashlib
import pathlib
import socket

from components.errors import NodeError
from components.places import private_dir

NODES_PER_BLOCK = 254
_FIRST_BLOCK = 1 << 8  # 127.0.x.y is everybody's own loopback
_BLOCKS = 255 * 256 - _FIRST_BLOCK
_FOREIGN_LIMIT = 16


def claim(owner: str, fleet: str, index: int, node: str, ports: tuple[int, ...]) -> str:
    """Return the address of node `index` (from 1) of `fleet`; raise NodeError when a port is taken everywhere."""
    page, position = divmod(index - 1, NODES_PER_BLOCK)
    name = f"{owner}/{fleet}/{page}"
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % _BLOCKS
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    taken: OSError | None = None
    foreign = 0
    for step in range(_BLOCKS):
        number = _FIRST_BLOCK + (start + step) % _BLOCKS
        path = folder / str(number)
        address = f"127.{number >> 8}.{number & 255}.{position + 1}"
        try:
            with path.open("x") as file:
                file.write(name)
        except FileExistsError:
            if _owner(path) == name:
                return address
            continue
        taken = _taken(address, ports)
        if taken is None:
            return address
        path.unlink()
        foreign += 1
        if foreign == _FOREIGN_LIMIT:
            break
    raise NodeError(
        node,
        f"no free loopback address: {taken}",
        hint=f"stop what listens on port {' or '.join(map(str, ports))} of every address (see `ss -ltnp`)",
    )


def taken_port(address: str, ports: tuple[int, ...]) -> int | None:
    """The first of `ports` that somebody already listens on at `address`."""
    for port in ports:
        if _taken(address, (port,)) is not None:
            return port
    return None


def release(owner: str) -> None:
    """Give back all blocks of a stack."""
    folder = _folder()
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _owner(path).startswith(f"{owner}/"):
            path.unlink(missing_ok=True)


def _folder() -> pathlib.Path:
    return private_dir() / "addresses"


def _owner(path: pathlib.Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return path.read_text()
    return ""


def _taken(address: str, ports: tuple[int, ...]) -> OSError | None:
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
                probe.listen()
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                return OSError(error.errno, f"{address}:{port} is in use")
    return None
