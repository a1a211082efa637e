"""What the kernel knows of machines: their processes, and who listens on their addresses."""

import contextlib
import ipaddress
import os
import pathlib
import signal
from collections.abc import Iterable, Iterator

_LISTEN = "0A"


def processes(mark: str) -> list[str]:
    """Command lines of processes that have `mark` in their command line or their environment."""
    return [command for _, command in _marked(mark)]


def kill(mark: str) -> None:
    """End them."""
    for pid, _ in _marked(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> set[int]:
    """All processes below `pid`, as /proc shows them now."""
    children: dict[int, list[int]] = {}
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def listening(addresses: Iterable[str]) -> set[str]:
    """The `address:port` of `addresses` on which somebody listens."""
    wanted = set(addresses)
    return {f"{address}:{port}" for address, port, _ in _listeners() if address in wanted}


def listener(address: str, port: int) -> int:
    """The pid of the process that listens there; raise LookupError when none does."""
    for where, number, inode in _listeners():
        if (where, number) == (address, port):
            return _holder(f"socket:[{inode}]")
    message = f"nobody listens on {address}:{port}"
    raise LookupError(message)


def _listeners() -> Iterator[tuple[str, int, str]]:
    """Address, port and inode of every listening socket; gRPC's are IPv6 sockets with IPv4 addresses in them."""
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            digits, port = fields[1].split(":")
            if fields[3] == _LISTEN:
                # The kernel prints an address as numbers of the machine's own byte order; the last is IPv4's.
                yield str(ipaddress.IPv4Address(bytes.fromhex(digits[-8:])[::-1])), int(port, 16), fields[9]


def _holder(link: str) -> int:
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if any(str(descriptor.readlink()) == link for descriptor in (folder / "fd").iterdir()):
                    return int(folder.name)
    message = f"no process holds {link}"
    raise LookupError(message)


def _marked(mark: str) -> Iterator[tuple[int, str]]:
    for folder in pathlib.Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            command = (folder / "cmdline").read_bytes()
            if state != "Z" and mark.encode() in command + (folder / "environ").read_bytes():
                yield int(folder.name), command.replace(b"\0", b" ").decode(errors="replace")
